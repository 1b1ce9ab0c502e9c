"""Documents of text, from TensorFlow Datasets or from files. TensorFlow is imported when they are read."""

import dataclasses
import gzip
import pathlib
import zlib
from collections.abc import Iterator, Sequence

from ikelos.pipelines.data import fingerprint, sources
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TextSource

_SUFFIXES = (".txt", ".txt.gz", *sources.TFRECORDS)


@dataclasses.dataclass(frozen=True)
class Documents:
    """The documents of one split.

    Attributes:
        ids: Name of each.
        texts: Text of each.
    """

    ids: Sequence[str]
    texts: Sequence[str]

    def sha256(self) -> str:
        """Of ids and texts."""
        parts = (part for document in zip(self.ids, self.texts, strict=True) for part in document)
        # A file's name need not be UTF-8.
        return fingerprint.sha256(part.encode("utf-8", "surrogateescape") for part in parts)


def load(source: TextSource) -> dict[Split, Documents]:
    """Reads all splits; errors as of `documents`."""
    found = {}
    for split in SPLITS:
        ids, texts = zip(*documents(source, split), strict=True)
        found[split] = Documents(ids, texts)
    return found


def documents(source: TextSource, split: Split) -> Iterator[tuple[str, str]]:
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
        found = _of_files(sources.files(source.files, _SUFFIXES)[split], source.text_feature)
    else:
        found = _of_tfds(source, split)
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
        raise UserError(f"{sources.place(source, split)} has no text")


def _of_tfds(source, split):
    """Ids and texts (bytes) of a data set."""
    import tensorflow as tf

    builder = sources.open_tfds(source)
    specs = {name: feature.get_tensor_spec() for name, feature in builder.info.features.items()}
    if specs.get(source.text_feature) != tf.TensorSpec((), tf.string):
        texts = ", ".join(name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string)) or "none"
        raise UserError(
            f"data set {source.tfds!r} has no text feature {source.text_feature!r}; "
            f"its features: {', '.join(specs)}; those of text: {texts}"
        )
    for name, example in sources.examples(source, builder, split):
        yield name, example[source.text_feature]


def _of_files(paths, text_feature):
    """Ids and texts (bytes) of files: the path, and for a TFRecord the number of the example in it."""
    for path in paths:
        try:
            if sources.is_tfrecord(path):
                for name, features in sources.records(path):
                    yield name, sources.one_bytes(name, features, text_feature)
            elif path.endswith(".gz"):
                with gzip.open(path) as file:
                    yield path, file.read()
            else:
                yield path, pathlib.Path(path).read_bytes()
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} can't be read: {error}") from None
