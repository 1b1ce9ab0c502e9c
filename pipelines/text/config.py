"""Sections of recipes of text tasks. Imports nothing heavy."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import NonNegative, NonNegativeFloat, Positive, Section


class TextSource(Source):
    """Text documents.

    Attributes:
        text_feature: the feature that holds the text; of no meaning for text files.
    """

    text_feature: str = "text"


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


class Samples(Section):
    """The texts that a model writes for the report and, each epoch, for TensorBoard.

    Attributes:
        prompts: What each sample begins with; may be empty. Null for those known of the data set, else no text, and the
            beginning of the validation text.
        length: Tokens to add.
        temperature: 0 takes the likeliest token.
        top_k: 0 takes all tokens.
        top_p: 1 takes all tokens.
    """

    prompts: tuple[str, ...] | None
    length: Positive
    temperature: NonNegativeFloat
    top_k: NonNegative
    top_p: Annotated[float, Field(gt=0, le=1)]
