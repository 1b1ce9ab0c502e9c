"""The typed recipe of language modelling. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import BelowOne, PlainTraining, Positive, Section, TaskConfig
from ikelos.pipelines.text.config import Samples, TextSource, Vocabulary


class Data(Section):
    """Where the text comes from and how it is cut into examples.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Fitted on the training split alone.
        batching: `packed` cuts one stream of all documents into full windows; `bucketed` keeps documents apart (cut
            to the context) and batches those of similar length.
        buckets: With `bucketed`, the longest length of each bucket, ascending; the last one is the context. Else null.
    """

    source: TextSource
    vocabulary: Vocabulary
    batching: Literal["packed", "bucketed"]
    buckets: tuple[Positive, ...] | None

    @pydantic.model_validator(mode="after")
    def _buckets_fit_the_batching(self) -> Self:
        if (self.batching == "bucketed") != (self.buckets is not None):
            raise ValueError(
                "`buckets` must be given with batching=bucketed and null otherwise. "
                f"Received: batching={self.batching}, buckets={self.buckets}"
            )
        return self


class Ngrams(Section):
    """N-grams and repetitions, mixed into the network's predictions by `ikelos.layers.NgramMixture`.

    Attributes:
        order: Length of the longest n-grams.
        max_ngrams: Largest number of distinct n-grams, 12 bytes each; if there are more, the longest lengths are dropped.
        max_tokens: Largest number of training tokens that are counted, the first ones. Training on the others trusts
            the n-grams less than it could.
        longest_match: Number of tokens up to which longer repetitions in the context get a weight of their own.
    """

    order: Positive
    max_ngrams: Positive
    max_tokens: Positive
    longest_match: Positive


class Transformer(Section):
    """`ikelos.layers.TransformerLanguageModel`: decoder blocks with rotary positions.

    Attributes:
        architecture: `transformer`.
        context: Tokens of a training window, and the most that the model sees at once.
        num_layers: Decoder blocks, one behind the other.
        size: Features of a token.
        num_heads: Attention heads of a block.
        hidden_size: Width of a block's feed-forward layer.
        dropout: Share of the outputs of a block's attention and feed-forward layer dropped in training.
        ngrams: N-grams that are mixed into the predictions; null for a Transformer alone.
    """

    architecture: Literal["transformer"]
    context: Positive
    num_layers: Positive
    size: Positive
    num_heads: Positive
    hidden_size: Positive
    dropout: BelowOne
    ngrams: Ngrams | None


class LSTM(Section):
    """`ikelos.layers.LSTMLanguageModel`: LSTM layers.

    Attributes:
        architecture: `lstm`.
        context: Tokens of a training window.
        num_layers: LSTM layers, one behind the other.
        size: Units of a layer, and features of a token.
        dropout: Share of each layer's inputs, and of the last one's outputs, dropped in training.
    """

    architecture: Literal["lstm"]
    context: Positive
    num_layers: Positive
    size: Positive
    dropout: BelowOne


class Evaluation(sections.Evaluation):
    """How the held-out text is measured.

    Attributes:
        stride: Tokens counted in each window; the rest of the window is context for them.
        batch_size: Windows in a step.
        ngram_order: Longest n-gram of the baseline; the order is chosen on the validation split up to this one.
        ngram_tokens: Most tokens of the training documents that it is fitted on, and of the others that it is measured
            on in choosing the order; it takes some 120 bytes of memory for each.
        samples: Texts that the model writes.
    """

    stride: Positive
    batch_size: Positive
    ngram_order: Positive
    ngram_tokens: Positive
    samples: Samples


class Export(sections.Export):
    """What becomes of the trained model.

    Attributes:
        max_length: Most tokens that one call of `generate` adds.
    """

    max_length: Positive


class Config(TaskConfig):
    """The recipe of language modelling.

    Attributes:
        model: A Transformer or an LSTM.
    """

    TUNABLE = ("model.context", "model.dropout", "model.ngrams.max_tokens")

    data: Data
    model: Annotated[Transformer | LSTM, Field(discriminator="architecture")]
    training: PlainTraining
    evaluation: Evaluation
    export: Export

    @pydantic.model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        context = self.model.context
        if self.evaluation.stride > context:
            raise ValueError(
                f"`evaluation.stride` must be at most model.context={context}. "
                f"Received: evaluation.stride={self.evaluation.stride}"
            )
        if self.data.buckets is not None and self.data.buckets[-1] != context:
            raise ValueError(
                f"the last of `data.buckets` must be model.context={context}. "
                f"Received: data.buckets={list(self.data.buckets)}"
            )
        if isinstance(self.model, Transformer) and self.model.ngrams and self.training.jit_compile:
            raise ValueError(
                "`training.jit_compile` must be false with model.ngrams: XLA cannot compile their lookups. "
                "Received: training.jit_compile=true"
            )
        if isinstance(self.model, Transformer) and self.model.size % (2 * self.model.num_heads):
            raise ValueError(
                "`model.size` must be a multiple of twice model.num_heads (rotary positions turn pairs of features). "
                f"Received: model.size={self.model.size}, model.num_heads={self.model.num_heads}"
            )
        return self
