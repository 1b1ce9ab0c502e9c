"""The typed recipe of language modelling. Imports nothing heavy."""

from typing import Literal, Self

import pydantic

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import PlainTraining, Positive, Section, TaskConfig
from ikelos.pipelines.text.config import Completion, Samples, TextSource, Vocabulary
from ikelos.pipelines.text.model_sections import LanguageModel, check_language_model


class Data(Section):
    """The text, and how it is cut into examples.

    Attributes:
        source: A TFDS name or file patterns, with the splits `train`, `validation` and `test`.
        vocabulary: Vocabulary, fitted on the training split alone.
        batching: `packed` cuts one stream of all documents into full windows. `bucketed` keeps documents apart, cuts
            them to the context, and batches pieces of similar length.
        buckets: With `bucketed`, the greatest length in each bucket, ascending; the last one must be the context. Null
            with `packed`.
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


class Evaluation(sections.Evaluation):
    """Evaluation on the held-out text.

    Attributes:
        stride: Tokens counted in each window; the other tokens of the window are their context.
        batch_size: Windows in a batch.
        ngram_order: Highest order of the n-gram baseline; the best order up to it is chosen on the validation split.
        ngram_tokens: Most training tokens to which the n-gram baseline is fitted, and most validation tokens on which
            its order is chosen. Each takes some 120 bytes of memory.
        samples: Texts that the model generates.
        completion: Measures of the model as one that completes texts; null for none.
    """

    stride: Positive
    batch_size: Positive
    ngram_order: Positive
    ngram_tokens: Positive
    samples: Samples
    completion: Completion | None


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_length: Most tokens that one call of the signature `generate` may add, and that `decode_step` may add after
            a prompt beyond the model's context.
        max_bytes: Most bytes of a text or a prompt; a longer one is an error.
        max_stops: Most stop strings of a row of `generate`.
        max_stop_bytes: Most bytes of a stop string.
        stepwise: Whether the model also has the signatures `prefill`, `decode_step` and `detokenize`, for clients that
            choose the tokens themselves and keep the model's state.
    """

    max_length: Positive
    max_bytes: Positive
    max_stops: Positive
    max_stop_bytes: Positive
    stepwise: bool


class Config(TaskConfig):
    """The recipe of language modelling.

    Attributes:
        model: Transformer or LSTM.
    """

    TUNABLE = ("model.context", "model.dropout", "model.ngrams.max_tokens")

    data: Data
    model: LanguageModel
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
        check_language_model(self.model, self.training)
        return self
