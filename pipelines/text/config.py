"""Recipe sections that text tasks share. Imports nothing heavy."""

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


class Vocabulary(Section):
    """The vocabulary of tokens.

    Attributes:
        kind: `character`, `byte`, or SentencePiece's `bpe` or `unigram`.
        size: Largest number of tokens, special ones included; null for every character that occurs (`character`), and
            always null for `byte`.
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
