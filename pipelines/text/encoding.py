"""Documents in tokens, and the preprocessing of every task that learns a vocabulary and nothing else."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.text import config, vocabulary, windows
from ikelos.pipelines.text.documents import Documents
from ikelos.pipelines.text.vocabulary import Vocabulary


class TextPreprocessing(Preprocessing):
    """A vocabulary, fitted on the training documents."""

    def __init__(self, vocabulary: Vocabulary):
        super().__init__(name="preprocessing")
        self.vocabulary = vocabulary

    @classmethod
    def fit(cls, settings: config.Vocabulary, texts: Sequence[str]) -> "TextPreprocessing":
        """Fits the vocabulary that a recipe asks for."""
        return cls(vocabulary.fit(settings.kind, texts, settings.size))

    def save(self, folder: Path) -> None:
        """Writes the vocabulary's files."""
        self.vocabulary.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "TextPreprocessing":
        """Reads what `save` wrote."""
        return cls(vocabulary.load(folder))


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The documents of one split.

    Attributes:
        ids: Name of each document.
        characters: Number of characters of each.
        tokens: int32 `[n]` for each, ending with the end-of-text token.
    """

    ids: Sequence[str]
    characters: Sequence[int]
    tokens: Sequence[np.ndarray]


def encode(words: Vocabulary, splits: Mapping[Split, Documents]) -> dict[Split, Tokens]:
    """The documents of all splits in tokens."""
    return {
        name: Tokens(
            ids=split.ids,
            characters=[len(text) for text in split.texts],
            tokens=[windows.joined([tokens]) for tokens in vocabulary.encode_documents(words, split.texts)],
        )
        for name, split in splits.items()
    }
