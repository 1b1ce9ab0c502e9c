"""The typed recipe of dialogue. Imports nothing heavy."""

from typing import Annotated, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import (
    NonNegative,
    NonNegativeFloat,
    PlainTraining,
    Positive,
    Section,
    TaskConfig,
)
from ikelos.pipelines.text.config import TurnSource, Vocabulary
from ikelos.pipelines.text.model_sections import LanguageModel, ReplyRanker, check_language_model

_FEWEST_TOKENS = 8
"""Fewest tokens of a context: half of them must hold a role and some text."""


class Data(Section):
    """The conversations.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Vocabulary of the turns, fitted on the training split alone.
    """

    source: TurnSource
    vocabulary: Vocabulary


class Evaluation(sections.Evaluation):
    """Evaluation on the held-out conversations.

    Attributes:
        questions: Most replies of the test split that are to be found among others.
        candidates: Replies of which one is the true one.
        seed: Seed of the draw of the questions and of their wrong replies; it is not that of the training.
        likelihood_weight: Weight of the pointwise mutual information of history and reply under the language model,
            which is added to the ranker's score; 0 for the ranker alone.
        likelihood_context: Tokens of history and reply that the pointwise mutual information takes.
        stride: Tokens counted in each window for the perplexity; the other tokens of the window are their context.
        batch_size: Windows in a batch.
        ngram_order: Highest order of the n-gram baseline; the best order up to it is chosen on the validation split.
        ngram_tokens: Most training tokens to which the n-gram baseline is fitted, and most validation tokens on which
            its order is chosen. Each takes some 120 bytes of memory.
        replies: Number of replies that are generated to be measured.
        temperature: Sampling temperature of the replies; 0 takes the most likely token.
        top_p: Cumulative probability of the most likely tokens to sample from; 1 for all tokens.
        shown: Number of replies that the report shows.
    """

    questions: Positive
    candidates: Annotated[int, Field(ge=2, le=1000)]
    seed: NonNegative
    likelihood_weight: NonNegativeFloat
    likelihood_context: Annotated[int, Field(ge=_FEWEST_TOKENS)]
    stride: Positive
    batch_size: Positive
    ngram_order: Positive
    ngram_tokens: Positive
    replies: Positive
    temperature: NonNegativeFloat
    top_p: Annotated[float, Field(gt=0, le=1)]
    shown: NonNegative


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_bytes: Most bytes of a history or a reply of a request; a longer one is an error.
        max_replies: Most replies to score for a history.
        max_length: Most tokens of a reply.
        num_samples: Replies that the language model samples, of which the ranker chooses one.
    """

    max_bytes: Positive
    max_replies: Positive
    max_length: Positive
    num_samples: Positive


class Config(TaskConfig):
    """The recipe of dialogue.

    Attributes:
        model: Language model of the turns: Transformer or LSTM.
        ranker: Ranker of replies.
        training: Training of the language model.
        ranker_training: Training of the ranker.
    """

    TUNABLE = ("model.dropout", "model.ngrams.max_tokens")

    data: Data
    model: LanguageModel
    ranker: ReplyRanker
    training: PlainTraining
    ranker_training: PlainTraining
    evaluation: Evaluation
    export: Export

    @pydantic.model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        context = self.model.context
        if context < _FEWEST_TOKENS:
            raise ValueError(f"`model.context` must be at least {_FEWEST_TOKENS}. Received: model.context={context}")
        for key in ("stride", "likelihood_context"):
            value = getattr(self.evaluation, key)
            if value > context:
                raise ValueError(
                    f"`evaluation.{key}` must be at most model.context={context}. Received: evaluation.{key}={value}"
                )
        if self.ranker_training.jit_compile:
            raise ValueError(
                "`ranker_training.jit_compile` must be false: the number of replies in a batch depends on the data. "
                "Received: ranker_training.jit_compile=true"
            )
        check_language_model(self.model, self.training)
        return self
