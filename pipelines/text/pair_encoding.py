"""Preparation of pairs of texts as tokens, with one vocabulary for both sides."""

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.records import Chunk, Record, Records
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.text import config, encoding, pairs, vocabulary
from ikelos.pipelines.text.encoding import TextPreprocessing
from ikelos.pipelines.text.vocabulary.special import END

_SHOWN = 5
SOURCE, TARGET = "source", "target"
"""Columns of tokens."""
SOURCE_TEXT, TARGET_TEXT, GROUP = "source_text", "target_text", "group"
"""Columns of texts in UTF-8."""


class PairPreparation(Preparation[TextPreprocessing]):
    """Preparation of pairs of texts, by a vocabulary that is fitted on both texts of the training pairs.

    The stores have the ragged columns `source` and `target` (uint16 if the vocabulary is small enough; each text ends
    with the end-of-text token), and the texts themselves in `source_text`, `target_text` and `group`, uint8. Pairs
    without a source or a target are counted and left out.
    """

    def __init__(self, source: config.PairSource, settings: config.Vocabulary, reused: Path | None = None):
        """Keeps the settings; `reused` is a folder with a vocabulary to use instead of fitting one."""
        self.name = source.tfds or "pairs"
        self.allowed_faults = source.allowed_faults
        self._source, self._settings, self._reused = source, settings, reused
        self._reader: pairs.Reader = pairs.Reader(source)

    def identity(self) -> Any:
        """Returns the vocabulary's settings (or the checksum of a reused one) and the pairs' state."""
        return [encoding.vocabulary_identity(self._settings, self._reused), self._reader.identity()]

    def reusing(self, folder: Path) -> "PairPreparation":
        """Returns a preparation that reuses the vocabulary in `folder`, so that a trained model knows the tokens.

        Raises:
            UserError: If the vocabulary does not agree with the settings.
        """
        encoding.reused_vocabulary(self._settings, folder)
        return PairPreparation(self._source, self._settings, folder)

    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split."""
        return self._reader.chunks(split)

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the pairs of a chunk as they are read."""
        return self._reader.records(split, chunk)

    def from_records(self, records: Records) -> "PairPreparation":
        """Returns this preparation with these pairs instead of the source."""
        other = copy.copy(self)
        other._reader = pairs.RecordedReader(self._source, records)
        return other

    def learn(self, progress: Callable[[int], None]) -> TextPreprocessing:
        """Fits the vocabulary, unless one is reused; the example is the first source text of the validation split.

        Raises:
            UserError: If the source cannot be read, or as `vocabulary.fit`.
        """
        sources = (texts[0] for pair in self._reader.pairs("validation") if not isinstance(texts := decoded(pair), str))
        example = next(filter(None, sources), "")
        if self._reused is not None:
            return TextPreprocessing(vocabulary.load(self._reused), example)
        return TextPreprocessing(encoding.fitted(self._settings, self._texts(progress)), example)

    def load(self, folder: Path) -> TextPreprocessing:
        """Loads the vocabulary and the example."""
        return encoding.load(folder)

    def columns(self, learned: TextPreprocessing) -> Mapping[str, Column]:
        """Returns the columns of both texts, and of the groups."""
        tokens = Column(encoding.dtype_of(learned.vocabulary), ragged=True)
        text = Column("uint8", ragged=True)
        return {SOURCE: tokens, TARGET: tokens, SOURCE_TEXT: text, TARGET_TEXT: text, GROUP: text}

    def size(self, split: Split) -> Size:
        """Returns the bytes or examples of a split."""
        return self._reader.size(split)

    def write(self, learned: TextPreprocessing, split: Split, writer: Sink) -> None:
        """Encodes the pairs.

        Raises:
            UserError: If the source cannot be read.
        """
        start, unit = writer.cursor or 0, self.size(split).unit
        for index, pair in enumerate(self._reader.pairs(split, start), start):
            texts = decoded(pair)
            if isinstance(texts, str):
                writer.skip(pair.name, "not a pair", texts)
            elif not all(texts):
                writer.skip_empty()
            else:
                source, target = (np.append(learned.vocabulary.tokens(text), END) for text in texts)
                as_bytes = (np.frombuffer(text, np.uint8) for text in (*map(str.encode, texts), pair.group))
                named = dict(zip((SOURCE_TEXT, TARGET_TEXT, GROUP), as_bytes, strict=True))
                writer.end(pair.name, **{SOURCE: source, TARGET: target}, **named)
            writer.read(index + 1, 1 if unit == "examples" else pair.size)

    def show(self, learned: TextPreprocessing, store: Store) -> list[str]:
        """Returns the first pairs."""
        both = zip(texts(store, SOURCE_TEXT, _SHOWN), texts(store, TARGET_TEXT, _SHOWN), strict=True)
        return [f"{source} → {target}" for source, target in both]

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        unit = self.size("train").unit
        for pair in self._reader.pairs("train"):
            found = decoded(pair)
            if not isinstance(found, str) and all(found):
                yield from found
            progress(1 if unit == "examples" else pair.size)


def decoded(pair: pairs.Pair) -> tuple[str, str] | str:
    """Returns the two texts of a pair without spaces around them, or what is wrong with it."""
    if pair.fault:
        return pair.fault
    try:
        return pair.source.decode("utf-8").strip(), pair.target.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        return f"is not valid UTF-8: {error.reason}"


def texts(store: Store, column: str, most: int | None = None) -> list[str]:
    """Returns the texts of a column, or the first ones."""
    values = store.ragged(column)
    count = len(store) if most is None else min(most, len(store))
    return [values[index].tobytes().decode("utf-8") for index in range(count)]
