"""Recipe sections of text models, and the checks that concern several of their keys. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe.sections import BelowOne, Positive, Section, Training


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


LanguageModel = Annotated[Transformer | LSTM, Field(discriminator="architecture")]
"""The section of a language model."""


class TranslationTransformer(Section):
    """`ikelos.layers.TransformerTranslationModel`.

    Attributes:
        architecture: `transformer`.
        num_layers: Number of blocks of the encoder, and of the decoder.
        size: Features of a token.
        num_heads: Attention heads of a block.
        hidden_size: Width of a block's feed-forward layer.
        dropout: Dropout rate of the embedded tokens and of the outputs of a block's attention and feed-forward layer.
    """

    architecture: Literal["transformer"]
    num_layers: Positive
    size: Positive
    num_heads: Positive
    hidden_size: Positive
    dropout: BelowOne

    @pydantic.model_validator(mode="after")
    def _heads_divide_the_size(self) -> Self:
        check_rotary_heads(self.size, self.num_heads)
        return self


class TranslationLSTM(Section):
    """`ikelos.layers.LSTMTranslationModel`: LSTMs with attention.

    Attributes:
        architecture: `lstm`.
        num_layers: Number of LSTMs of the encoder, in each direction, and of the decoder.
        size: Features of a token, and units of each of the decoder's LSTMs.
        num_heads: Heads of the attention.
        dropout: Dropout rate of each LSTM's inputs and of the last outputs.
    """

    architecture: Literal["lstm"]
    num_layers: Positive
    size: Positive
    num_heads: Positive
    dropout: BelowOne

    @pydantic.model_validator(mode="after")
    def _the_size_can_be_divided(self) -> Self:
        if self.size % 2 or self.size % self.num_heads:
            raise ValueError(
                "`size` must be even and a multiple of `num_heads`. "
                f"Received: size={self.size}, num_heads={self.num_heads}"
            )
        return self


TranslationModel = Annotated[TranslationTransformer | TranslationLSTM, Field(discriminator="architecture")]
"""The section of a translation model."""


class ReplyRanker(Section):
    """`ikelos.layers.ReplyRanker`.

    Attributes:
        size: Features of a token, and of the vectors that are compared.
        hidden_size: Width of the networks' hidden layers.
        num_history_sums: Number of weighted sums of a history.
        max_distance: Distance in turns beyond which a turn of a history has no weight.
        dropout: Share of the tokens that are left out in training.
    """

    size: Positive
    hidden_size: Positive
    num_history_sums: Positive
    max_distance: Positive
    dropout: BelowOne


def check_language_model(
    model: Transformer | LSTM, training: Training, model_key: str = "model", training_key: str = "training"
) -> None:
    """Raises ValueError if a language model cannot be built, or not be trained with these settings; it names the
    sections by their keys in the recipe."""
    if not isinstance(model, Transformer):
        return
    if model.ngrams and training.jit_compile:
        raise ValueError(
            f"`{training_key}.jit_compile` must be false with {model_key}.ngrams: XLA cannot compile their lookups. "
            f"Received: {training_key}.jit_compile=true"
        )
    check_rotary_heads(model.size, model.num_heads, f"{model_key}.size", f"{model_key}.num_heads")


def check_rotary_heads(size: int, num_heads: int, size_key: str = "size", heads_key: str = "num_heads") -> None:
    """Raises ValueError if the heads cannot have rotary positions."""
    if size % (2 * num_heads):
        raise ValueError(
            f"`{size_key}` must be a multiple of twice `{heads_key}` (rotary positions turn pairs of features). "
            f"Received: {size_key}={size}, {heads_key}={num_heads}"
        )
