"""The typed recipe of language modelling. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe.sections import (
    BelowOne,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Section,
    TaskConfig,
    Training,
)
from ikelos.pipelines.recipe.sections import Export as SharedExport
from ikelos.pipelines.text.config import TextSource


class Vocabulary(Section):
    """What a token is.

    Attributes:
        kind: `character`, `byte`, or SentencePiece's `bpe` or `unigram`.
        size: Most tokens to have, special ones included; null takes every character there is (`character`) or is
            implied (`byte`).
    """

    kind: Literal["character", "byte", "bpe", "unigram"]
    size: Positive | None

    @pydantic.model_validator(mode="after")
    def _size_fits_the_kind(self) -> Self:
        if self.kind in ("bpe", "unigram") and self.size is None:
            raise ValueError(f"`size` must be given for kind={self.kind}. Received: size=null")
        if self.kind == "byte" and self.size is not None:
            raise ValueError(f"`size` must be null for kind=byte. Received: size={self.size}")
        return self


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


class Transformer(Section):
    """`ikelos.layers.TransformerLanguageModel`."""

    architecture: Literal["transformer"]
    context: Positive
    num_layers: Positive
    size: Positive
    num_heads: Positive
    hidden_size: Positive
    dropout: BelowOne
    ngram_orders: tuple[Positive, ...]
    ngram_buckets: NonNegative


class LSTM(Section):
    """`ikelos.layers.LSTMLanguageModel`."""

    architecture: Literal["lstm"]
    context: Positive
    num_layers: Positive
    size: Positive
    dropout: BelowOne


class Peer(Section):
    """A figure to stand beside ours in the report: another model on the same split.

    Attributes:
        name: Of the model and its size.
        nats_per_character: On the held-out documents.
        minutes: What its training took.
    """

    name: str
    nats_per_character: PositiveFloat
    minutes: PositiveFloat


class Samples(Section):
    """The texts that the model writes for the report and, each epoch, for TensorBoard.

    Attributes:
        prompts: What each sample begins with; may be empty.
        length: Tokens to add.
        temperature: 0 takes the likeliest token.
        top_k: 0 takes all tokens.
        top_p: 1 takes all tokens.
    """

    prompts: tuple[str, ...]
    length: Positive
    temperature: NonNegativeFloat
    top_k: NonNegative
    top_p: Annotated[float, Field(gt=0, le=1)]


class Evaluation(Section):
    """How the held-out text is measured.

    Attributes:
        stride: Tokens counted in each window; the rest of the window is context for them.
        batch_size: Windows in a step.
        ngram_order: Longest n-gram of the baseline; the order is chosen on the validation split up to this one.
        samples: Texts that the model writes.
        peers: Other models' figures on the same split.
    """

    stride: Positive
    batch_size: Positive
    ngram_order: Positive
    samples: Samples
    peers: tuple[Peer, ...]


class Export(SharedExport):
    """What becomes of the trained model.

    Attributes:
        max_length: Most tokens that one call of `generate` adds.
    """

    max_length: Positive


class Config(TaskConfig):
    """The recipe of language modelling."""

    data: Data
    model: Annotated[Transformer | LSTM, Field(discriminator="architecture")]
    training: Training
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
        if isinstance(self.model, Transformer) and self.model.ngram_orders:
            if self.model.size % len(self.model.ngram_orders):
                raise ValueError(
                    "`model.size` must be a multiple of the number of model.ngram_orders. "
                    f"Received: model.size={self.model.size}, model.ngram_orders={list(self.model.ngram_orders)}"
                )
            if not self.model.ngram_buckets:
                raise ValueError("`model.ngram_buckets` must be positive with model.ngram_orders. Received: 0")
        if isinstance(self.model, Transformer) and self.model.size % (2 * self.model.num_heads):
            raise ValueError(
                "`model.size` must be a multiple of twice model.num_heads (rotary positions turn pairs of features). "
                f"Received: model.size={self.model.size}, model.num_heads={self.model.num_heads}"
            )
        return self
