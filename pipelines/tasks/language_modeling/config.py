"""The typed recipe of language modelling. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe import sections
from ikelos.pipelines.recipe.sections import BelowOne, PlainTraining, Positive, Section, TaskConfig
from ikelos.pipelines.text.config import Samples, TextSource, Vocabulary


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


class Ngrams(Section):
    """N-grams and repetitions, which `ikelos.layers.NgramMixture` mixes into the network's predictions.

    Attributes:
        order: Length of the longest n-grams.
        max_ngrams: Largest number of distinct n-grams, 12 bytes each. If there are more, the longest are dropped.
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
        context: Tokens in a training window; the model never sees more at once.
        num_layers: Number of decoder blocks.
        size: Features of a token.
        num_heads: Attention heads of a block.
        hidden_size: Width of a block's feed-forward layer.
        dropout: Dropout rate of the outputs of a block's attention and feed-forward layer.
        ngrams: N-grams to mix into the predictions; null for the Transformer alone.
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
        context: Tokens in a training window.
        num_layers: Number of LSTM layers.
        size: Units of a layer, and features of a token.
        dropout: Dropout rate of each layer's inputs and of the last layer's outputs.
    """

    architecture: Literal["lstm"]
    context: Positive
    num_layers: Positive
    size: Positive
    dropout: BelowOne


class Evaluation(sections.Evaluation):
    """Evaluation on the held-out text.

    Attributes:
        stride: Tokens counted in each window; the other tokens of the window are their context.
        batch_size: Windows in a batch.
        ngram_order: Highest order of the n-gram baseline; the best order up to it is chosen on the validation split.
        ngram_tokens: Most training tokens to which the n-gram baseline is fitted, and most validation tokens on which
            its order is chosen. Each takes some 120 bytes of memory.
        samples: Texts that the model generates.
    """

    stride: Positive
    batch_size: Positive
    ngram_order: Positive
    ngram_tokens: Positive
    samples: Samples


class Export(sections.Export):
    """Export of the trained model.

    Attributes:
        max_length: Most tokens that one call of the signature `generate` may add.
    """

    max_length: Positive


class Config(TaskConfig):
    """The recipe of language modelling.

    Attributes:
        model: Transformer or LSTM.
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
