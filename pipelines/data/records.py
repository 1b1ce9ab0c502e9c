"""Examples as they were read, kept as TFRecords of `tf.train.Example`, to be prepared in another process.

A pipeline reads its source once, in the source's order, into a folder with one subfolder `Split-<split>` for each
split, the layout of TFX's artifact `Examples`. Each example has the features `id`, `order` (its index in the split)
and `bytes` (its size), and those of its kind, such as `text`, or `image` and `label`.

TensorFlow is imported only when records are written or read.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ikelos.pipelines.console import Progress
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.errors import UserError
from ikelos.serving import files

LARGEST = 1 << 30
"""Largest size of an example in bytes: a serialized `tf.train.Example` must be smaller than 2 GiB."""
SHARD_BYTES = 1 << 28
"""Size in bytes at which a shard ends."""
ABOUT = "examples.json"
"""File with the numbers and the checksums of the examples of each split."""
OWN = ("id", "order", "bytes")
"""Features of every example, whatever its kind."""


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
    """The examples in a folder that `write` wrote.

    Attributes:
        about: What the reader of the source said of all examples, such as the names of the classes.
        identity: Hash of all examples, and so of the state of the source.
    """

    def __init__(self, folder: Path):
        """Opens the folder; the examples are read later."""
        facts = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.about: dict[str, Any] = facts["about"]
        self._folder, self._splits = folder, facts["splits"]
        self.identity: dict[str, str] = {name: facts["sha256"] for name, facts in self._splits.items()}

    def size(self, split: Split) -> int:
        """Returns the bytes of all examples of a split."""
        return self._splits[split]["bytes"]

    def read(self, split: Split, start: int = 0) -> Iterator[Record]:
        """Yields the examples of a split after the first `start`, in the order of the source.

        Raises:
            UserError: If examples are missing or come in another order.
        """
        import tensorflow as tf

        shards = [str(path) for path in sorted((self._folder / f"Split-{split}").iterdir())]
        number = 0
        for number, content in enumerate(tf.data.TFRecordDataset(shards).as_numpy_iterator(), 1):
            example = tf.train.Example.FromString(content).features.feature
            if example["order"].int64_list.value[0] != number - 1:
                raise UserError(
                    f"The examples in {self._folder} must come in the order of their source. Received: the example "
                    f"{example['order'].int64_list.value[0]} of {split} at the place {number - 1}"
                )
            if number > start:
                yield _record(example)
        if number != self._splits[split]["examples"]:
            raise UserError(
                f"{self._folder} must have {self._splits[split]['examples']} examples of {split}. Received: {number}"
            )


def write(folder: Path, records: Mapping[Split, Iterable[Record]], about: dict[str, Any]) -> None:
    """Writes the examples of all splits into an empty folder, in shards.

    Raises:
        UserError: If an example is too large, or a split has none.
    """
    splits = {split: _write(folder / f"Split-{split}", split, some) for split, some in records.items()}
    files.write(folder / ABOUT, json.dumps({"about": about, "splits": splits}, indent=2) + "\n")


def _write(folder: Path, split: Split, records: Iterable[Record]) -> dict[str, Any]:
    import tensorflow as tf

    folder.mkdir()
    digest, number, total, shards, shard_bytes = hashlib.sha256(), 0, 0, 0, 0
    writer: Any = None
    with Progress(f"reading {split}", "examples") as progress:
        progress.advance(0)
        for number, record in enumerate(records, 1):
            if record.size > LARGEST:
                raise UserError(
                    f"{record.name} must have at most {LARGEST:,} bytes to be an example of a pipeline: divide it. "
                    f"Received: {record.size:,} bytes"
                )
            if writer is None:
                writer = tf.io.TFRecordWriter(str(folder / f"examples-{shards:05d}"))
                shards, shard_bytes = shards + 1, 0
            content = _example(record, number - 1)
            writer.write(content)
            digest.update(len(content).to_bytes(8, "big") + content)
            total, shard_bytes = total + record.size, shard_bytes + len(content)
            if shard_bytes >= SHARD_BYTES:
                writer.close()
                writer = None
            progress.advance(1)
    if writer is not None:
        writer.close()
    if not number:
        raise UserError(f"The split {split!r} must have examples. Received: none")
    return {"examples": number, "bytes": total, "sha256": digest.hexdigest()}


def _example(record: Record, order: int) -> bytes:
    if taken := sorted(set(OWN) & record.features.keys()):
        raise ValueError(f"`features` must have other names than {', '.join(OWN)}. Received: {', '.join(taken)}")
    return encode({**dict(zip(OWN, (record.name, order, record.size), strict=True)), **record.features})


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


def _record(example: Mapping[str, Any]) -> Record:
    features: dict[str, bytes | int | str] = {}
    for name, value in example.items():
        if name not in OWN:
            features[name] = value.int64_list.value[0] if value.int64_list.value else value.bytes_list.value[0]
    return Record(example["id"].bytes_list.value[0].decode("utf-8", "surrogateescape"), features)
