"""Examples as they were read, kept as TFRecords of `tf.train.Example`, to be prepared in another process.

A pipeline reads its source once, in the source's order, into a folder with one subfolder `Split-<split>` for each
split, the layout of TFX's artifact `Examples`. A split is read in chunks, by one worker or several, and each chunk
becomes one file. Each example has the features `id` and `bytes` (its size), and those of its kind, such as `text`, or
`image` and `label`.

TensorFlow is imported only when records are written or read.
"""

import contextlib
import copy
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.errors import UserError

LARGEST = 1 << 30
"""Largest size of an example in bytes: a serialized `tf.train.Example` must be smaller than 2 GiB."""
CHUNK_BYTES, CHUNK_EXAMPLES = 1 << 26, 1 << 13
"""Size in bytes, and number of files or examples, at which a chunk ends."""
ABOUT = "examples.json"
"""File with the numbers and the checksums of the examples of each split."""
OWN = ("id", "bytes")
"""Features of every example, whatever its kind."""
NAMES = ("id", "label")
"""Features with names, which do not count in the feature `bytes`."""
QUANTITIES = ("bytes", "start")
"""Features whose numbers are quantities. All other numbers are treated as categories."""

Chunk = Any
"""Successive examples of a split that are read together, as JSON in a format that the reader chooses."""
Opened = Callable[[str], AbstractContextManager[Path]]
"""Function that gives the local path of a file, which may be in an object store."""


@dataclasses.dataclass(frozen=True)
class Record:
    """An example as it was read.

    Attributes:
        name: Its stable id.
        features: Its values by feature: the bytes of its text or file, numbers, and names.
    """

    name: str
    features: Mapping[str, bytes | int | str]

    @property
    def size(self) -> int:
        """Size of the bytes."""
        return sum(len(value) for value in self.features.values() if isinstance(value, bytes))


class Records:
    """The examples in a folder that `write` and `summary` filled.

    Attributes:
        about: What the reader of the source said of all examples, such as the names of the classes.
        identity: Hash of the examples of each split, and so of the state of the source.
    """

    def __init__(self, folder: str | Path, opened: Opened = lambda path: contextlib.nullcontext(Path(path))):
        """Opens the folder, whose files `opened` opens; the examples are read later."""
        with opened(f"{folder}/{ABOUT}") as path:
            facts = json.loads(path.read_text(encoding="utf-8"))
        self.about: dict[str, Any] = facts["about"]
        self._folder, self._opened, self._splits = folder, opened, facts["splits"]
        self.identity: dict[str, str] = {name: facts["sha256"] for name, facts in self._splits.items()}
        self._numbers = {split: self.chunks(split) for split in self._splits}

    def size(self, split: Split) -> int:
        """Returns the bytes of all examples of a split."""
        return self._splits[split]["bytes"]

    def chunks(self, split: Split) -> range:
        """Returns the numbers of the chunks of a split."""
        return range(len(self._splits[split]["chunks"]))

    def only(self, split: Split, chunk: int) -> "Records":
        """Returns these records with the examples of a single chunk."""
        other = copy.copy(self)
        other._numbers = dict.fromkeys(self._splits, range(0)) | {split: range(chunk, chunk + 1)}
        return other

    def read(self, split: Split, start: int = 0) -> Iterator[Record]:
        """Yields the examples of a split after the first `start`, in the order of the source; raises as `features`."""
        for features in self.features(split, start):
            own = {name: value for name, value in features.items() if name not in OWN}
            yield Record(str(features["id"]), own)

    def features(self, split: Split, start: int = 0) -> Iterator[dict[str, bytes | int | str]]:
        """Yields all features of the examples after the first `start`, in the order of the source; `id` is a text.

        Raises:
            UserError: If examples are missing, or differ from those that were written.
        """
        for number in self._numbers[split]:
            facts = self._splits[split]["chunks"][number]
            if start < facts["examples"]:
                yield from self._chunk(split, number, facts, start)
            start = max(start - facts["examples"], 0)

    def _chunk(
        self, split: Split, number: int, facts: Mapping[str, Any], start: int
    ) -> Iterator[dict[str, bytes | int | str]]:
        import tensorflow as tf

        path, digest = path_of(self._folder, split, number), hashlib.sha256()
        try:
            with self._opened(path) as local:
                contents = tf.data.TFRecordDataset(str(local)).as_numpy_iterator()
                for index, content in enumerate(contents):
                    _extend_digest(digest, content)
                    if index >= start:
                        yield _features(tf.train.Example.FromString(content).features.feature)
            found = f"the checksum {digest.hexdigest()}"
        except (tf.errors.NotFoundError, FileNotFoundError):
            found = "no such file"
        except tf.errors.DataLossError:
            found = "a broken file"
        if found != f"the checksum {facts['sha256']}":
            raise UserError(
                f"{path} must have the examples that were read, with the checksum {facts['sha256']}. Received: {found}"
            )


def path_of(folder: str | Path, split: Split, chunk: int) -> str:
    """Returns the path or URL of the file with the examples of a chunk, below the folder or URL of all examples."""
    return f"{folder}/Split-{split}/examples-{chunk:05d}"


def ranges(number: int, size: int) -> list[Chunk]:
    """Returns the chunks of a number of examples that have `size` bytes together: lists of start and end."""
    step = min(CHUNK_EXAMPLES, max(CHUNK_BYTES * number // max(size, 1), 1))
    return [[start, min(start + step, number)] for start in range(0, number, step)]


def groups(paths: Sequence[str]) -> list[Chunk]:
    """Returns the chunks of some files: lists of paths."""
    found: list[list[str]] = []
    size = CHUNK_BYTES
    for path in paths:
        if size >= CHUNK_BYTES or len(found[-1]) >= CHUNK_EXAMPLES:
            found.append([])
            size = 0
        found[-1].append(path)
        size += os.path.getsize(path)
    return found


def write(path: Path, records: Iterable[Record]) -> dict[str, Any]:
    """Writes the examples of a chunk into a file, and returns their number, bytes and checksum for `summary`.

    Raises:
        UserError: If an example is too large.
    """
    import tensorflow as tf

    digest, number, size = hashlib.sha256(), 0, 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            if record.size > LARGEST:
                raise UserError(
                    f"{record.name} must have at most {LARGEST:,} bytes to be an example of a pipeline: divide it. "
                    f"Received: {record.size:,} bytes"
                )
            content = _example(record)
            writer.write(content)
            _extend_digest(digest, content)
            number, size = number + 1, size + record.size
    return {"examples": number, "bytes": size, "sha256": digest.hexdigest()}


def summary(chunks: Mapping[Split, Sequence[Mapping[str, Any]]], about: dict[str, Any]) -> str:
    """Returns the text of the file `ABOUT`.

    Args:
        chunks: What `write` returned for each chunk of each split.
        about: What the reader of the source says of all examples.

    Raises:
        UserError: If a split has no examples.
    """
    splits = {}
    for split, found in chunks.items():
        total = {key: sum(facts[key] for facts in found) for key in ("examples", "bytes")}
        if not total["examples"]:
            raise UserError(f"The split {split!r} must have examples. Received: none")
        identity = fingerprint.sha256(facts["sha256"].encode() for facts in found)
        splits[split] = {**total, "sha256": identity, "chunks": list(found)}
    return json.dumps({"about": about, "splits": splits}, indent=2) + "\n"


def _extend_digest(digest: Any, content: bytes) -> None:
    digest.update(len(content).to_bytes(8, "big") + content)


def _example(record: Record) -> bytes:
    if taken := sorted(set(OWN) & record.features.keys()):
        raise ValueError(f"`features` must have other names than {', '.join(OWN)}. Received: {', '.join(taken)}")
    return encode({**dict(zip(OWN, (record.name, record.size), strict=True)), **record.features})


def encode(features: Mapping[str, bytes | int | str]) -> bytes:
    """Returns values by feature as a serialized `tf.train.Example`."""
    import tensorflow as tf

    def feature(value: bytes | int | str) -> Any:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
        content = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

    values = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString(deterministic=True)


def _features(example: Mapping[str, Any]) -> dict[str, bytes | int | str]:
    features: dict[str, bytes | int | str] = {}
    for name, value in example.items():
        features[name] = value.int64_list.value[0] if value.int64_list.value else value.bytes_list.value[0]
    return features | {"id": example["id"].bytes_list.value[0].decode("utf-8", "surrogateescape")}
