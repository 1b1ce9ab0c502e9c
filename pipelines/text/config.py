"""Recipe sections of texts and their evaluation, which text tasks share; `model_sections` has those of models. Imports
nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import NonNegative, NonNegativeFloat, Positive, Section


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


class SpeedByLength(DecodingSpeed):
    """Timing of a training step, and of decoding.

    Attributes:
        lengths: Lengths of the texts, ascending.
        batch_size: Texts in a training step; decoding is timed with one.
        tokens: Number of tokens that are decoded each time.
        repeats: Repetitions, interleaved, of which the median counts.
    """

    batch_size: Positive


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
