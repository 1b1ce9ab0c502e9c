"""Recipe sections that text tasks share. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import BelowOne, NonNegative, NonNegativeFloat, Positive, Section, Training


class TextSource(Source):
    """Text documents.

    Attributes:
        text_feature: Name of the feature with the text; ignored for text files.
    """

    text_feature: str = "text"


class PairSource(Source):
    """Pairs of a source text and a target text, such as sentences and their translations.

    `.tsv` and `.tsv.gz` files have a pair in each line, the source text, a tab and the target text, and nothing else. A
    single such file is divided by `splits` too: a hash of the source text decides a pair's split.

    Attributes:
        source_feature: Name of the feature with the source text; ignored for text files.
        target_feature: Name of the feature with the target text; ignored for text files.
        group_feature: Name of a text feature whose values are groups that are also measured separately; null for none,
            and ignored for text files.
        endings: The two endings of parallel text files, such as `[.en, .es]`: `files` are those with source texts, and
            each line of `news.es` belongs to the same line of `news.en`. Null for `.tsv` files.
    """

    source_feature: str = "source"
    target_feature: str = "target"
    group_feature: str | None = None
    endings: tuple[str, str] | None = None

    @pydantic.model_validator(mode="after")
    def _endings_are_two(self) -> Self:
        if self.endings is not None and (self.files is None or "" in self.endings or len(set(self.endings)) < 2):
            raise ValueError(
                "`endings` must be two different endings of `files`, such as [.en, .es]. "
                f"Received: endings={list(self.endings)}, files={'null' if self.files is None else 'given'}"
            )
        return self


class TurnSource(Source):
    """Conversations of two speakers, as lists of turns.

    `.jsonl` and `.jsonl.gz` files have a conversation in each line, as JSON: `{"turns": ["Hi!", "Hello."]}`, with the
    speakers in turn, or with a speaker for each turn: `{"turns": ["Hi!", "Hello.", "How are you?"], "roles": ["user",
    "agent", "agent"]}`. A single such file is divided by `splits` too: a hash of the line decides its split.

    Attributes:
        turns_feature: Name of the feature with the list of turns; ignored for `.jsonl` files.
        roles_feature: Name of the feature with the speaker of each turn; null if the speakers take turns. Ignored for
            `.jsonl` files.
    """

    turns_feature: str = "turns"
    roles_feature: str | None = None


class Vocabulary(Section):
    """The vocabulary of tokens.

    Attributes:
        kind: `character`, `byte`, or SentencePiece's `bpe` or `unigram`.
        size: Largest number of tokens, special ones included. Required for `bpe` and `unigram`; null for `byte`; for
            `character`, null takes every character that occurs.
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


class Samples(Section):
    """The texts that a model writes for the report and, each epoch, for TensorBoard.

    Attributes:
        prompts: Beginnings of the samples; an empty list for no samples. Null takes the data set's prompts; if it has
            none, an empty prompt and the beginning of the validation text.
        length: Number of tokens to generate.
        temperature: Sampling temperature; 0 takes the most likely token.
        top_k: Number of most likely tokens to sample from; 0 for all tokens.
        top_p: Cumulative probability of the most likely tokens to sample from; 1 for all tokens.
    """

    prompts: tuple[str, ...] | None
    length: Positive
    temperature: NonNegativeFloat
    top_k: NonNegative
    top_p: Annotated[float, Field(gt=0, le=1)]


class DecodingSpeed(Section):
    """Timing of generation with the cache of the model and without it.

    Attributes:
        lengths: Tokens of the test text after which it is timed, ascending.
        tokens: Number of tokens that are generated each time.
        repeats: Repetitions, of which the median counts.
    """

    lengths: tuple[Positive, ...]
    tokens: Positive
    repeats: Positive

    @pydantic.model_validator(mode="after")
    def _lengths_ascend(self) -> Self:
        if not self.lengths or list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"`lengths` must be ascending, at least one. Received: lengths={list(self.lengths)}")
        return self


class Copies(Section):
    """Search for generated text in the training text.

    Attributes:
        texts: Number of texts to generate, with the settings of `samples` and the seeds 0, 1, 2, ...
        length: Tokens of each text.
        ngrams: Lengths of the n-grams whose share that occurs in the training text is measured.
        training_tokens: Most training tokens that are searched, the first ones.
    """

    texts: Positive
    length: Positive
    ngrams: tuple[Positive, ...]
    training_tokens: Positive


class Completion(Section):
    """Measures of a model that completes texts, besides the cost of a token by its position in the context.

    Attributes:
        decoding_speed: Timing of generation with the cache of the model and without it.
        copies: Search for generated text in the training text.
    """

    decoding_speed: DecodingSpeed
    copies: Copies


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


LanguageModel = Annotated[Transformer | LSTM, Field(discriminator="architecture")]
"""The section of a language model."""


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
