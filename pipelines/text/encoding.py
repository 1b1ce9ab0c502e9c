"""Documents in tokens, and the preprocessing of every task that learns a vocabulary and nothing else."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import Writer
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.text import config, documents, vocabulary
from ikelos.pipelines.text.documents import Piece, Reader
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import END

_MOST_LEARNED_FROM = 1 << 26
"""Characters of text that subwords are learned from: SentencePiece holds them all in memory, several times."""
_SHOWN, _SHOWN_TOKENS = 3, 200
_EXAMPLE = 40
"""Characters of an example, at most."""
_EXAMPLE_FILE = "example.txt"


class TextPreprocessing(Preprocessing):
    """A vocabulary, fitted on the training documents, and a text to show.

    Attributes:
        vocabulary: What turns text to tokens and back.
        example: The first words of the validation text.
    """

    def __init__(self, vocabulary: Vocabulary, example: str):
        super().__init__(name="preprocessing")
        self.vocabulary = vocabulary
        self.example = example

    def save(self, folder: Path) -> None:
        """Writes the vocabulary's files and `example.txt`."""
        self.vocabulary.save(folder)
        (folder / _EXAMPLE_FILE).write_bytes(self.example.encode())


class TextPreparation(Preparation[TextPreprocessing]):
    """Documents as tokens, each ending with the end-of-text token, by a vocabulary fitted on the training documents.

    The stores have the columns `tokens` (ragged; uint16 where the vocabulary fits) and `characters`, the number of
    characters of each document. Empty documents are left out: there is nothing to learn from them, and no likelihood
    of their characters.
    """

    def __init__(self, source: config.TextSource, settings: config.Vocabulary, taken: Path | None = None):
        """`taken` is a folder with a vocabulary, which is taken as it is."""
        self.name = source.tfds or "texts"
        self.allowed_faults = source.allowed_faults
        self._source, self._settings, self._taken = source, settings, taken
        self._reader = Reader(source)

    def identity(self) -> Any:
        """The vocabulary's settings, or sum if it is taken; the documents; how long an example is."""
        words: Any = self._settings.model_dump(mode="json")
        if self._taken is not None:
            content = [path.read_bytes() for path in sorted(self._taken.glob(f"{vocabulary.FILES}.*"))]
            words = fingerprint.sha256(content)
        return [words, self._reader.identity(), _EXAMPLE]

    def taking_over(self, folder: Path) -> "TextPreparation":
        """With the vocabulary in a folder: the tokens of its model.

        Raises:
            UserError: If the settings ask for another vocabulary.
        """
        taken, asked = vocabulary.load(folder), self._settings
        if taken.kind != asked.kind or (asked.size is not None and taken.size > asked.size):
            raise UserError(
                f"`data.vocabulary` must be that of the run: kind={taken.kind}, size={taken.size}. "
                f"Received: kind={asked.kind}, size={'null' if asked.size is None else asked.size}"
            )
        return TextPreparation(self._source, asked, folder)

    def learn(self, progress: Callable[[int], None]) -> TextPreprocessing:
        """Fits the vocabulary, unless one is taken, and looks at the beginning of the validation text."""
        beginnings = (beginning(item.piece.text) for item in self._items("validation") if item.piece)
        example = next(filter(None, beginnings), "")
        if self._taken is not None:
            return TextPreprocessing(vocabulary.load(self._taken), example)
        texts: Iterable[str] = self._texts(progress)
        if self._settings.kind in ("bpe", "unigram"):
            texts = thinned(texts, _MOST_LEARNED_FROM)
        return TextPreprocessing(vocabulary.fit(self._settings.kind, texts, self._settings.size), example)

    def load(self, folder: Path) -> TextPreprocessing:
        """Reads them."""
        return TextPreprocessing(vocabulary.load(folder), (folder / _EXAMPLE_FILE).read_bytes().decode())

    def columns(self, learned: TextPreprocessing) -> Mapping[str, Column]:
        """Tokens and the number of characters."""
        dtype = "uint16" if learned.vocabulary.size <= 1 << 16 else "uint32"
        return {"tokens": Column(dtype, ragged=True), "characters": Column("int64")}

    def size(self, split: Split) -> Size:
        """Bytes or examples to read."""
        return self._reader.size(split)

    def write(self, learned: TextPreprocessing, split: Split, writer: Writer) -> None:
        """Encodes the documents, long ones piece by piece."""
        # Where to go on: the document's number, its byte, and how many characters come before that.
        number, byte, characters = writer.cursor or (0, 0, 0)
        for item in self._items(split, number, byte):
            if item.fault:
                writer.skip(item.name, *item.fault)
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
        """The beginnings of the first documents."""
        tokens = store.ragged("tokens")
        first = [tokens[place][:_SHOWN_TOKENS].astype(np.int32) for place in range(min(_SHOWN, len(store)))]
        return [text.decode() for text in learned.vocabulary.decode(tf.ragged.constant(first).to_tensor()).numpy()]

    def _texts(self, progress: Callable[[int], None]) -> Iterator[str]:
        for item in self._items("train"):
            if item.piece:
                yield item.piece.text
            progress(item.read)

    def _items(self, split: Split, start: int = 0, byte: int = 0) -> Iterator["_Item"]:
        """What there is from a byte of a document on; of empty documents and of those with a fault one item each."""
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
    """A piece of a document, or what takes its place; `read` is by how much of the source it is further."""

    number: int
    name: str
    piece: Piece | None
    fault: tuple[str, str] | None
    read: int


def beginning(text: str) -> str:
    """The first whole words of a text, with the space behind them; of one long word, a part."""
    text = text.lstrip()
    if len(text) <= _EXAMPLE:
        return text
    words = text[:_EXAMPLE].rstrip()
    end = max((place for place, character in enumerate(words, 1) if character.isspace()), default=0)
    return words[:end] or words


def thinned(texts: Iterable[str], most: int) -> list[str]:
    """The lines of some texts, or of so many characters of them as are allowed.

    Which lines are kept of more is decided by their hashes, so that the same texts give the same lines.
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
