"""Documents of text, from TensorFlow Datasets or from files, read piece by piece: one may be larger than memory.

TensorFlow is imported when they are read.
"""

import codecs
import dataclasses
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ikelos.pipelines.data import sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TextSource

_SUFFIXES = (".txt", ".txt.gz", *sources.TFRECORDS)
PIECE_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Document:
    """A text that has not been read yet.

    Attributes:
        name: A stable id: the data set's own feature `id`, the file's path, or a number behind these.
        open: Opens its bytes.
        size: Of the source, in the units of `Reader.size`.
    """

    name: str
    open: Callable[[], BinaryIO]
    size: int


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a document's text.

    Attributes:
        text: Ends behind a line if it is not the document's end, unless the line is longer than a piece.
        end: In the document's bytes.
        last: Whether the document ends with it.
    """

    text: str
    end: int
    last: bool


class Reader:
    """Finds the documents of a source; nothing is read before a method is called."""

    def __init__(self, source: TextSource):
        """Takes the recipe's section."""
        self._source = source

    def identity(self) -> Any:
        """What tells one state of the source from another, JSON.

        Raises:
            UserError: For an unknown data set, config or split, a feature that it has not; a pattern without files, a
                file in two splits.
        """
        source = self._source.model_dump(mode="json", exclude={"allowed_faults"})
        if self._source.files is not None:
            return [source, sources.files_identity(sources.files(self._source.files, _SUFFIXES))]
        return [source, sources.tfds_identity(self._source, sources.prepared(self._source, self._builder()))]

    def size(self, split: Split) -> Size:
        """How much there is to read of a split."""
        if self._source.files is not None:
            return Size(sum(map(os.path.getsize, sources.files(self._source.files, _SUFFIXES)[split])), "bytes")
        return Size(sources.num_examples(self._source, self._builder(), split), "examples")

    def documents(self, split: Split, start: int = 0) -> Iterator[Document]:
        """The documents of a split behind the first `start`, in an order that is the same each time.

        Raises:
            UserError: As for `identity`; a TFRecord that is none, or an example of it without the text.
        """
        if self._source.files is None:
            feature = self._source.text_feature
            for name, example in sources.examples(self._source, self._builder(), split, start):
                yield Document(name, _opening(example[feature]), 1)
            return
        for path in sources.files(self._source.files, _SUFFIXES)[split]:
            size = os.path.getsize(path)
            if sources.is_tfrecord(path):
                for name, features in sources.records(path):
                    if start:
                        start -= 1
                        continue
                    content = sources.one_bytes(name, features, self._source.text_feature)
                    yield Document(name, _opening(content), len(content))
            elif start:
                start -= 1
            else:
                yield Document(path, _opener(path), size)

    def _builder(self) -> Any:
        import tensorflow as tf

        builder = sources.open_tfds(self._source)
        specs = {name: feature.get_tensor_spec() for name, feature in builder.info.features.items()}
        if specs.get(self._source.text_feature) != tf.TensorSpec((), tf.string):
            texts = ", ".join(name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string)) or "none"
            raise UserError(
                f"data set {self._source.tfds!r} has no text feature {self._source.text_feature!r}; "
                f"its features: {', '.join(specs)}; those of text: {texts}"
            )
        return builder


def fault(document: Document) -> tuple[str, str] | None:
    """The kind of fault that a document has, and what it is; None for UTF-8 text. Reads all of it."""
    decoder, begin = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with document.open() as file:
            while block := file.read(PIECE_BYTES):
                kept = len(decoder.getstate()[0])
                decoder.decode(block)
                begin += len(block)
            kept = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return "not UTF-8", f"is not valid UTF-8 at byte {begin - kept + error.start}: {error.reason}"
    except (OSError, EOFError, zlib.error) as error:
        return "unreadable", f"can't be read: {error.strerror or error if isinstance(error, OSError) else error}"
    return None


def pieces(document: Document, start: int = 0) -> Iterator[Piece]:
    """The text of a document without fault behind its first `start` bytes, where a piece ended; none if it is empty.

    Where a piece ends depends on nothing but where it begins, so that who goes on behind one finds the same pieces.
    """
    with document.open() as file:
        file.seek(start)
        text = file.read(PIECE_BYTES + 1)
        while len(text) > PIECE_BYTES:
            cut = text.rfind(b"\n", 0, PIECE_BYTES) + 1 or _whole_characters(text[:PIECE_BYTES])
            start += cut
            yield Piece(text[:cut].decode("utf-8"), start, last=False)
            text = text[cut:] + file.read(cut)
        if text:
            yield Piece(text.decode("utf-8"), start + len(text), last=True)


def _whole_characters(text: bytes) -> int:
    """How many bytes of it are whole characters."""
    first = len(text) - 1
    while text[first] & 0xC0 == 0x80:  # not the first byte of a character
        first -= 1
    return first


def _opening(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]
