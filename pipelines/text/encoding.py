"""Preparation of documents as tokens, and the base class of all preparations whose preprocessing is a vocabulary."""

import copy
import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Source, Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.records import Chunk, Record, Records
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.text import config, documents, vocabulary
from ikelos.pipelines.text.documents import Piece
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD

_MOST_LEARNED_FROM = 1 << 26
"""Most characters from which subwords are learned: SentencePiece holds several copies of them in memory."""
_SHOWN, _SHOWN_TOKENS = 3, 200
_EXAMPLE = 40
"""Most characters of the example."""
_EXAMPLE_FILE = "example.txt"


class TextPreprocessing(Preprocessing):
    """A vocabulary fitted on the training documents, and an example text.

    Attributes:
        vocabulary: Vocabulary that encodes and decodes text.
        example: First words of the validation text.
    """

    def __init__(self, vocabulary: Vocabulary, example: str):
        super().__init__(name="preprocessing")
        self.vocabulary = vocabulary
        self.example = example

    def token_batch(self, texts: Sequence[str]) -> tf.Tensor:
        """Returns the tokens of some texts as a language model takes them.

        Args:
            texts: B texts.

        Returns:
            int32 `[B,T]`: each row begins with the begin-of-text token, as every text in training does, and is padded
            at its end to the length of the longest.
        """
        tokens = self.vocabulary.encode(tf.constant(texts, tf.string, [len(texts)])).to_tensor(PAD)
        return tf.pad(tokens, [[0, 0], [1, 0]], constant_values=BEGIN)

    def save(self, folder: Path) -> None:
        """Writes the vocabulary's files and `example.txt`."""
        self.vocabulary.save(folder)
        (folder / _EXAMPLE_FILE).write_bytes(self.example.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads what was saved in a folder."""
        return cls(vocabulary.load(folder), (folder / _EXAMPLE_FILE).read_bytes().decode())


Learned = TypeVar("Learned", bound=Preprocessing)


class VocabularyPreparation(Preparation[Learned]):
    """Base class of the preparations that fit a vocabulary on the texts of the training split.

    A subclass defines `columns`, `write`, `_example` and `_texts`.

    Attributes:
        preprocessing: Class of the preprocessing, made from a vocabulary and an example, with a class method `load`.
        noun: Plural noun for the examples, the name of data that is no data set.
        reader: Class of the reader of a source.
        recorded_reader: Class of the reader of the records of a source.
    """

    preprocessing: ClassVar[Any]
    noun: ClassVar[str]
    reader: ClassVar[Any]
    recorded_reader: ClassVar[Any]

    def __init__(self, source: Source, settings: config.Vocabulary, reused: Path | None = None):
        """Keeps the settings; `reused` is a folder with a vocabulary to use instead of fitting one."""
        self.name = source.tfds or self.noun
        self.allowed_faults = source.allowed_faults
        self._source, self._settings, self._reused = source, settings, reused
        self._reader = self.reader(source)

    def identity(self) -> Any:
        """Returns the vocabulary's settings (or the checksum of a reused one) and the state of the source."""
        return [vocabulary_identity(self._settings, self._reused), self._reader.identity()]

    def reusing(self, folder: Path) -> Self:
        """Returns a preparation that reuses the vocabulary in `folder`, so that a trained model knows the tokens.

        Raises:
            UserError: If the vocabulary does not agree with the settings.
        """
        reused_vocabulary(self._settings, folder)
        other = copy.copy(self)
        other._reused = folder
        return other

    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split."""
        return self._reader.chunks(split)

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the examples of a chunk as they are read."""
        return self._reader.records(split, chunk)

    def from_records(self, records: Records) -> Self:
        """Returns this preparation with these examples instead of the source."""
        other = copy.copy(self)
        other._reader = self.recorded_reader(self._source, records)
        return other

    def learn(self, progress: Callable[[int], None]) -> Learned:
        """Fits the vocabulary, unless one is reused, and finds the example in the validation split.

        Raises:
            UserError: If the source cannot be read, or as `vocabulary.fit`.
        """
        example = self._example()
        if self._reused is not None:
            return self.preprocessing(vocabulary.load(self._reused), example)
        return self.preprocessing(fitted(self._settings, self._texts(progress)), example)

    def load(self, folder: Path) -> Learned:
        """Loads the vocabulary and the example."""
        return self.preprocessing.load(folder)

    def size(self, split: Split) -> Size:
        """Returns the bytes or examples of a split."""
        return self._reader.size(split)

    def _example(self) -> Any:
        """Returns an example of the input of a model, from the validation split; a text may be empty."""
        raise NotImplementedError

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        """Yields the texts of the training split, and calls `progress` with each amount that it has read."""
        raise NotImplementedError


class TextPreparation(VocabularyPreparation[TextPreprocessing]):
    """Preparation of documents as tokens, by a vocabulary that is fitted on the training documents.

    The stores have the columns `tokens` (ragged; uint16 if the vocabulary is small enough; each document ends with the
    end-of-text token) and `characters`, the number of characters of each document. Empty documents are counted and left
    out: there is nothing to learn from them, and a likelihood per character is undefined.
    """

    preprocessing = TextPreprocessing
    noun = "texts"
    reader = documents.Reader
    recorded_reader = documents.RecordedReader

    def identity(self) -> Any:
        """Returns the vocabulary's settings (or the checksum of a reused one), the documents' state, the example's
        length."""
        return [*super().identity(), _EXAMPLE]

    def columns(self, learned: TextPreprocessing) -> Mapping[str, Column]:
        """Returns the columns `tokens` and `characters`."""
        return {"tokens": Column(dtype_for(learned.vocabulary.size), ragged=True), "characters": Column("int64")}

    def write(self, learned: TextPreprocessing, split: Split, writer: Sink) -> None:
        """Encodes the documents, long ones piece by piece.

        Raises:
            UserError: If the source cannot be read.
        """
        # Where to resume: the document's index, the offset in bytes, and the number of characters before it.
        number, byte, characters = writer.cursor or (0, 0, 0)
        for item in self._items(split, number, byte):
            if item.fault:
                writer.skip(item.name, *item.fault)
            elif not item.piece:
                writer.skip_empty()
            if item.piece:
                characters += len(item.piece.text)
                writer.extend("tokens", learned.vocabulary.tokens(item.piece.text))
            if item.piece and item.piece.last:
                writer.end(item.name, tokens=np.array([END]), characters=characters)
            if item.piece and not item.piece.last:
                writer.read([item.number, item.piece.end, characters], item.read)
            else:
                characters = 0
                writer.read([item.number + 1, 0, 0], item.read)

    def show(self, learned: TextPreprocessing, store: Store) -> list[str]:
        """Returns the first tokens of each of the store's first documents, decoded to text."""
        tokens = store.ragged("tokens")
        first = [tokens[place][:_SHOWN_TOKENS].astype(np.int32) for place in range(min(_SHOWN, len(store)))]
        return [text.decode() for text in learned.vocabulary.decode(tf.ragged.constant(first).to_tensor()).numpy()]

    def _example(self) -> str:
        beginnings = (beginning(item.piece.text) for item in self._items("validation") if item.piece)
        return next(filter(None, beginnings), "")

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        for item in self._items("train"):
            if item.piece:
                yield item.piece.text
            progress(item.read)

    def _items(self, split: Split, start: int = 0, byte: int = 0) -> Iterator["_Item"]:
        """Yields an `_Item` for each piece of the split's documents and for each empty or faulty document.

        It starts at offset `byte` of document `start`.
        """
        for number, document in enumerate(self._reader.documents(split, start), start):
            fault = documents.fault(document)
            read, empty = min(byte, document.size), True
            for piece in [] if fault else documents.pieces(document, byte):
                further = document.size if piece.last else min(piece.end, document.size)
                yield _Item(number, document.name, piece, None, further - read)
                read, empty = further, False
            if empty:
                yield _Item(number, document.name, None, fault, document.size)
            byte = 0


@dataclasses.dataclass(frozen=True)
class _Item:
    """Piece of a document, or an empty or faulty document; `read` is the amount of the source read for it."""

    number: int
    name: str
    piece: Piece | None
    fault: tuple[str, str] | None
    read: int


def beginning(text: str) -> str:
    """Returns the first whole words of a text with the space after them, or part of the first word if it is long."""
    text = text.lstrip()
    if len(text) <= _EXAMPLE:
        return text
    words = text[:_EXAMPLE].rstrip()
    end = max((place for place, character in enumerate(words, 1) if character.isspace()), default=0)
    return words[:end] or words


def dtype_for(size: int) -> str:
    """Returns the smallest unsigned type that holds `size` different tokens and that stores have."""
    return "uint16" if size <= 1 << 16 else "uint32"


def fitted(settings: config.Vocabulary, texts: Iterable[str]) -> Vocabulary:
    """Returns the vocabulary of a recipe, fitted to texts; raises as `vocabulary.fit`."""
    if settings.kind in ("bpe", "unigram"):
        texts = thinned(texts, _MOST_LEARNED_FROM)
    return vocabulary.fit(settings.kind, texts, settings.size)


def reused_vocabulary(settings: config.Vocabulary, folder: Path) -> Vocabulary:
    """Loads the vocabulary of another run.

    Raises:
        UserError: If the vocabulary does not agree with the settings.
    """
    found = vocabulary.load(folder)
    if found.kind != settings.kind or (settings.size is not None and found.size > settings.size):
        raise UserError(
            f"`data.vocabulary` must be the vocabulary of the run: kind={found.kind}, size={found.size}. "
            f"Received: kind={settings.kind}, size={'null' if settings.size is None else settings.size}"
        )
    return found


def vocabulary_identity(settings: config.Vocabulary, reused: Path | None) -> Any:
    """Returns the settings of a vocabulary as JSON, or the checksum of a reused one."""
    if reused is None:
        return settings.model_dump(mode="json")
    return fingerprint.sha256([path.read_bytes() for path in sorted(reused.glob(f"{vocabulary.FILES}.*"))])


def thinned(texts: Iterable[str], most: int) -> list[str]:
    """Returns the lines of some texts, thinned out until they have at most `most` characters.

    Hashes of the lines decide which are kept, so the same texts give the same lines.
    """
    kept: list[str] = []
    size, limit = 0, 1 << 32
    for text in texts:
        for line in text.split("\n"):
            if line and _hash(line) < limit:
                kept.append(line)
                size += len(line)
        while size > most:
            limit //= 2
            kept = [line for line in kept if _hash(line) < limit]
            size = sum(map(len, kept))
    return kept


def _hash(line: str) -> int:
    return zlib.crc32(line.encode())
