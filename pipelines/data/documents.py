"""Documents of text from TensorFlow Datasets or from files. TensorFlow is imported when they are read."""

import contextlib
import difflib
import glob
import gzip
import importlib
import io
import os
import pathlib
import sys
import zlib
from collections.abc import Iterator

from ikelos.pipelines.data.config import Patterns, Source, Split
from ikelos.pipelines.errors import UserError

# Module and one line for each data set of our own; importing the module registers it with TensorFlow
# Datasets.
_OURS = {
    "shakespeare_plays": (
        "ikelos.pipelines.data.shakespeare_plays",
        "38 plays in Markdown, 5.3 million characters, four plays held out; comes with ikelos[pipelines]",
    ),
}

_FORMATS = (".txt", ".txt.gz", ".tfrecord", ".tfrecord.gz")


def available() -> dict[str, str]:
    """Name and one-line description of the data sets that need no download."""
    return {name: description for name, (_, description) in _OURS.items()}


def documents(source: Source, split: Split) -> Iterator[tuple[str, str]]:
    """Reads the documents of a split that have text, in an order that is the same each time.

    Empty ones are left out: there is nothing to learn from them, and no likelihood of their characters.

    Args:
        source: where they come from.
        split: `train`, `validation` or `test`; the source says what this is there.

    Yields:
        A stable id (the data set's own feature `id`, the file's path, or a number behind these), and the
        text.

    Raises:
        UserError: for an unknown data set, config, split or feature; a pattern without files, a file in two
            splits; a file that can't be read or is not UTF-8; a split without text.
    """
    if source.files is not None:
        found = _of_files(_files(source.files)[split], source.text_feature)
        place = f"files.{split}={list(getattr(source.files, split))}"
    else:
        found = _of_tfds(source, getattr(source.splits, split))
        place = f"split {getattr(source.splits, split)!r} of data set {source.tfds!r}"
    empty = True
    for name, content in found:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is not valid UTF-8 at byte {error.start}: {error.reason}") from None
        if text:
            empty = False
            yield name, text
    if empty:
        raise UserError(f"{place} has no text")


def _of_tfds(source, split):
    """Ids and texts (bytes) of a data set, which is prepared first if it has not been."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = _builder(source)
    specs = {name: feature.get_tensor_spec() for name, feature in builder.info.features.items()}
    if specs.get(source.text_feature) != tf.TensorSpec((), tf.string):
        texts = ", ".join(name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string)) or "none"
        raise UserError(
            f"data set {source.tfds!r} has no text feature {source.text_feature!r}; "
            f"its features: {', '.join(specs)}; those of text: {texts}"
        )
    builder = _prepared(source, builder)
    try:
        dataset = builder.as_dataset(split=split, shuffle_files=False)
    except ValueError as error:
        names = ", ".join(builder.info.splits)
        raise UserError(f"data set {source.tfds!r} has no split {split!r}, or nothing in it; it has {names}") from error
    for index, example in enumerate(tfds.as_numpy(dataset)):
        own = example.get("id")
        yield own.decode() if isinstance(own, bytes) else f"{split}:{index}", example[source.text_feature]


def _builder(source):
    import tensorflow_datasets as tfds

    name = source.tfds
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


def _prepared(source, builder):
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
        _announce(f"Preparing data set {builder.name} in {builder.data_dir}")
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except (OSError, AssertionError, tf.errors.OpError, tfds.download.DownloadError) as error:
        # Of two processes that prepare a data set at once, the slower cannot put its files where the other's are.
        if not _builder(source).is_prepared():
            raise UserError(
                f"data set {builder.name!r} can't be prepared in {builder.data_dir}: {_first_line(error)}"
            ) from error
    return _builder(source)


def _announce(line):
    print(line, file=sys.stderr, flush=True)


def _first_line(error):
    return str(error).strip().partition("\n")[0]


def _files(patterns: Patterns) -> dict[str, list[str]]:
    """The files of each split, sorted; every pattern has some, and no file is in two splits."""
    files: dict[str, set[str]] = {split: set() for split in Patterns.model_fields}
    splits_of: dict[str, str] = {}
    for split in files:
        for pattern in getattr(patterns, split):
            matches = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
            if not matches:
                raise UserError(f"files.{split}: no file matches {pattern!r} in {pathlib.Path.cwd()}")
            for path in matches:
                if not path.endswith(_FORMATS):
                    raise UserError(f"files.{split}: {path} has none of the known suffixes {', '.join(_FORMATS)}")
                if splits_of.setdefault(os.path.realpath(path), split) != split:
                    raise UserError(
                        f"{path} is in two splits: files.{splits_of[os.path.realpath(path)]} and files.{split}"
                    )
                files[split].add(path)
    return {split: sorted(paths) for split, paths in files.items()}


def _of_files(paths, text_feature):
    """Ids and texts (bytes) of files: the path, and for a TFRecord the number of the example in it."""
    for path in paths:
        try:
            if ".tfrecord" in pathlib.Path(path).suffixes:
                yield from _of_tfrecord(path, text_feature)
            elif path.endswith(".gz"):
                with gzip.open(path) as file:
                    yield path, file.read()
            else:
                yield path, pathlib.Path(path).read_bytes()
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} can't be read: {error}") from None


def _of_tfrecord(path, text_feature):
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    records = tf.data.TFRecordDataset(path, compression_type="GZIP" if path.endswith(".gz") else "")
    try:
        for index, record in enumerate(records.as_numpy_iterator()):
            features = tf.train.Example.FromString(record).features.feature
            values = list(features[text_feature].bytes_list.value) if text_feature in features else []
            if len(values) != 1:
                names = ", ".join(sorted(features))
                raise UserError(
                    f"{path}: example {index} must have one bytes value in feature {text_feature!r}; "
                    f"it has {len(values)} there, and the features {names}"
                )
            yield f"{path}:{index}", values[0]
    except (tf.errors.OpError, DecodeError) as error:
        raise UserError(f"{path} can't be read as a TFRecord of tf.train.Example: {_first_line(error)}") from error
