"""Documents of text, from TensorFlow Datasets or from files, read piece by piece: one may be larger than memory.

TensorFlow is imported when they are read.
"""

import codecs
import dataclasses
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from ikelos.pipelines.data import reader, sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TextSource

PIECE_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Document:
    """A text that has not been read yet.

    Attributes:
        name: A stable id: the data set's own feature `id`, the file's path, or a number behind these.
        open: Opens its bytes.
        size: How much of the source it is, in the units of `Reader.size`.
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


class Reader(reader.Reader[TextSource]):
    """Finds the documents of a source."""

    suffixes = (".txt", ".txt.gz", *sources.TFRECORDS)

    def documents(self, split: Split, start: int = 0) -> Iterator[Document]:
        """The documents of a split behind the first `start`, in an order that is the same each time.

        Raises:
            UserError: As for `identity`; a TFRecord that is none, or an example of it without the text.
        """
        feature = self._source.text_feature
        if self._source.files is None:
            for name, example in sources.examples(self._source, self.builder, split, start):
                yield Document(name, _opening(example[feature]), 1)
            return
        for name, features in self.in_files(split, start):
            if features is None:
                yield Document(name, _opener(name), os.path.getsize(name))
            else:
                content = sources.one_bytes(name, features, feature)
                yield Document(name, _opening(content), len(content))

    def check_features(self, features: Mapping[str, Any]) -> None:
        """The text must be there, and be one."""
        import tensorflow as tf

        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}
        if specs.get(self._source.text_feature) != tf.TensorSpec((), tf.string):
            texts = ", ".join(name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string)) or "none"
            raise UserError(
                f"data set {self._source.tfds!r} has no text feature {self._source.text_feature!r}; "
                f"its features: {', '.join(specs)}; those of text: {texts}"
            )


def fault(document: Document) -> tuple[str, str] | None:
    """The kind of fault that a document has, and what it is; None for UTF-8 text. Reads all of it.

    Raises:
        UserError: If its file cannot be read now, which says nothing of the text.
    """
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
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return "broken", f"can't be unpacked: {error}"
    except OSError as error:
        raise UserError(f"{document.name} can't be read: {error.strerror}") from None
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
