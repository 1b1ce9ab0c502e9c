"""Reads text documents from TensorFlow Datasets or files, piece by piece, so that one may be larger than memory.

TensorFlow is imported only when documents are read.
"""

import codecs
import dataclasses
import functools
import gzip
import io
import os
import shlex
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from ikelos.pipelines.data import reader, sources
from ikelos.pipelines.data.config import Shares, Split
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.data.records import LARGEST, Chunk, Record
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TextSource

PIECE_BYTES = 1 << 22
_TEXT, _START, _PACKED = "text", "start", "is_packed"
"""Features of a record: the content, start and compression of a `Document`."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A text that has not been read yet.

    Attributes:
        name: Stable id: the data set's feature `id`, the file's path, or a split or path with a number.
        content: Function that opens the document's content as a binary file.
        size: Size in the units of `Reader.size`.
        start: Offset in bytes of the document's beginning within its file.
        is_packed: Whether the content is compressed by gzip.
    """

    name: str
    content: Callable[[], BinaryIO]
    size: int
    start: int = 0
    is_packed: bool = False

    def open(self) -> BinaryIO:
        """Opens the document's text as a binary file."""
        content = self.content()
        return _Unpacked(content) if self.is_packed else content  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a document's text.

    Attributes:
        text: Text of the piece. It ends with the end of a line, unless the line is longer than a piece or the document
            ends.
        end: Offset in bytes of the piece's end within the document.
        last: Whether it is the document's last piece.
    """

    text: str
    end: int
    last: bool


class Reader(reader.Reader[TextSource]):
    """Reader that finds the documents of a source."""

    suffixes = (".txt", ".txt.gz", *sources.TFRECORDS)
    divisible = (".txt",)

    def documents(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Document]:
        """Yields the documents of a split, or of one chunk of it, after the first `start`, in the same order each time.

        Raises:
            UserError: As `identity`, and for a broken TFRecord or an example in it without the text.
        """
        feature = self._source.text_feature
        if self._source.files is None:
            first, stop = chunk or (0, None)
            for name, example in sources.examples(self._source, self.builder, split, first + start, stop):
                yield Document(name, _opening(example[feature]), 1)
            return
        # A chunk of several files is none of a divided one, and `parts` would search for all files.
        if (chunk is None or len(chunk) == 1) and self.parts is not None:
            (path,), (first, end) = self.paths[split], self.parts[split]
            if not start:
                yield Document(printable_path(path), _part_opener(path, first, end), end - first, first)
            return
        for name, features in self.in_files(chunk or self.paths[split], start):
            if features is None:
                is_packed = name.lower().endswith(".gz")
                yield Document(printable_path(name), _opener(name), os.path.getsize(name), is_packed=is_packed)
            else:
                content = sources.one_bytes(name, features, feature)
                yield Document(name, _opening(content), len(content))

    @functools.cached_property
    def parts(self) -> Mapping[Split, tuple[int, int]] | None:
        """Range of bytes `(start, end)` of each split, if a single file is divided; None for other sources.

        Each part begins at the beginning of a line; the validation text and then the test text are at the file's end.
        """
        if not isinstance(self._source.splits, Shares) or self.paths["train"] != self.paths["test"]:
            return None
        (path,), shares = self.paths["train"], self._source.splits
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            validation, test = (
                _line_start_from(file, int(size * (1 - share)))
                for share in (shares.validation + shares.test, shares.test)
            )
        if not 0 < validation < test < size:
            raise UserError(
                f"{printable_path(path)} must have lines for each split: one file is divided at the ends of lines. "
                f"Received: {size} bytes, splits={shares.model_dump()}"
            )
        return {"train": (0, validation), "validation": (validation, test), "test": (test, size)}

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the documents of a chunk as `Record`s with the bytes of their files as the feature `text`."""
        for document in self.documents(split, chunk=chunk):
            try:
                with document.content() as file:
                    text = file.read(LARGEST + 1)
            except OSError as error:
                raise UserError(f"{document.name} can't be read: {error.strerror}") from None
            yield Record(document.name, {_TEXT: text, _START: document.start, _PACKED: document.is_packed})

    def size(self, split: Split) -> Size:
        """Returns how much data a split has."""
        if self.parts is None:
            return super().size(split)
        first, end = self.parts[split]
        return Size(end - first, "bytes")

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError unless `text_feature` is a feature of the data set and a text."""
        import tensorflow as tf

        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}
        if specs.get(self._source.text_feature) != tf.TensorSpec((), tf.string):
            texts = ", ".join(name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string))
            raise UserError(
                f"`data.source.text_feature` must name a feature of {self._source.tfds} with texts: {texts} "
                f"(of {', '.join(specs)}). Received: {self._source.text_feature}"
            )


class RecordedReader(reader.Recorded[TextSource], Reader):
    """Finds the documents in records that `Reader.records` yielded."""

    parts = None

    def documents(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Document]:
        """Yields the documents of a split after the first `start`; `chunk` is ignored, as `Records.only` has
        chosen it."""
        for record in self._records.read(split, start):
            text: Any = record.features[_TEXT]
            first, is_packed = int(record.features[_START]), bool(record.features[_PACKED])
            yield Document(record.name, _opening(text), record.size, first, is_packed)


def fault(document: Document) -> tuple[str, str] | None:
    """Reads a whole document; returns the kind and the description of its fault, or None if it is valid UTF-8 text.

    Raises:
        UserError: If the file cannot be read at the moment, which is no fault of the document.
    """
    decoder, begin, first = codecs.getincrementaldecoder("utf-8")(), document.start, b""
    try:
        with document.open() as file:
            while block := file.read(PIECE_BYTES):
                first = first or block[:2]
                kept = len(decoder.getstate()[0])
                zero = block.find(b"\0")
                decoder.decode(block if zero < 0 else block[:zero])
                if zero >= 0:
                    return "not UTF-8", f"is not text: byte {begin + zero} is zero{_advice(document, 'utf-16le')}"
                begin += len(block)
            kept = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        encoding = "utf-16" if first in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin1"
        place = f"byte {begin - kept + error.start}"
        return "not UTF-8", f"is not valid UTF-8 at {place}: {error.reason}{_advice(document, encoding)}"
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return "broken", f"cannot be unpacked: {error}"
    except OSError as error:
        raise UserError(f"cannot read {document.name}: {error.strerror}") from None
    return None


def _advice(document: Document, encoding: str) -> str:
    """Returns advice for an error: the command that converts a text file from `encoding` to UTF-8, in place."""
    name = document.name
    if not name.lower().endswith(Reader.divisible):
        return ""
    # The temporary file is hidden, so that no pattern matches it if the command fails.
    folder, base = os.path.split(name)
    file, temporary = shlex.quote(name), shlex.quote(os.path.join(folder, f".{base}"))
    return (
        f". If it is {encoding}, this command converts it: "
        f"iconv -f {encoding} -t utf-8 {file} > {temporary} && mv {temporary} {file}"
    )


def pieces(document: Document, start: int = 0) -> Iterator[Piece]:
    """Yields the pieces of a document without faults from byte `start` on, where a piece must begin.

    A piece's end depends only on its beginning, so a resumed reading yields the same pieces. A byte-order mark at the
    document's beginning is skipped; line ends are kept. An empty document has no pieces.
    """
    with document.open() as file:
        if start == 0 and file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            start = len(codecs.BOM_UTF8)
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
    """Returns the number of bytes before the last character of a text, which may be incomplete."""
    first = len(text) - 1
    while text[first] & 0xC0 == 0x80:  # not the first byte of a character
        first -= 1
    return first


def _opening(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: open(path, "rb")


def _part_opener(path: str, start: int, end: int) -> Callable[[], BinaryIO]:
    return lambda: _Part(path, start, end)  # type: ignore[return-value]


def _line_start_from(file: BinaryIO, place: int) -> int:
    """Returns the offset of the first beginning of a line at or after `place`."""
    file.seek(max(place - 1, 0))
    while line := file.readline(PIECE_BYTES):
        if line.endswith(b"\n"):
            break
    return file.tell()


class _Part(io.RawIOBase):
    """Binary file of the bytes `[start, end)` of another file."""

    def __init__(self, path: str, start: int, end: int):
        self._file, self._start, self._end = io.BufferedReader(io.FileIO(path)), start, end
        self.seek(0)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Seeks to `place`, counted from the beginning of the part."""
        return self._file.seek(self._start + place) - self._start

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes, or all that remain."""
        left = self._end - self._file.tell()
        return self._file.read(left if size < 0 else min(size, left))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


class _Unpacked(gzip.GzipFile):
    """Binary file of the unpacked content of a file, which is closed with it."""

    def __init__(self, content: BinaryIO):
        super().__init__(fileobj=content)
        self._content = content

    def close(self) -> None:
        """Closes both files."""
        super().close()
        self._content.close()
