"""Reads images with or without classes, from TensorFlow Datasets or from files."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import reader, sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.data.records import Chunk, Record
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.config import ImageSource, Shape, as_shape

_IMAGE, _LABEL, _NUMBER, _CLASS_NAMES = "image", "label", "label_number", "class_names"
"""Features of a record: file, name of the class, and its number if it has one; and a key of `Reader.about`."""

Label = str | int | None
"""Name or number of a class; None without classes."""
_IMAGE_FILES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")


class FaultError(Exception):
    """An image that cannot be used."""

    def __init__(self, kind: str, why: str):
        """Keeps the kind of the fault, and a description such as `is empty`."""
        super().__init__(kind, why)
        self.kind, self.why = kind, why


@dataclasses.dataclass(frozen=True)
class Found:
    """An image that has not been decoded yet.

    Attributes:
        name: Stable id: the data set's feature `id`, the file's path, or a split or path with a number.
        content: Path or bytes of an image file, or pixels.
        label: Name or number of its class.
        size: Size in the units of `Reader.size`.
    """

    name: str
    content: pathlib.Path | bytes | np.ndarray
    label: Label
    size: int


class Reader(reader.Reader[ImageSource]):
    """Reader that finds the images of a source."""

    suffixes = (*_IMAGE_FILES, *sources.TFRECORDS)

    @property
    def classed(self) -> tuple[str, ...]:
        """Suffixes of image files, unless labels are not wanted."""
        return () if self._source.label_feature is None else _IMAGE_FILES

    def class_names(self) -> list[str] | None:
        """Returns the class names of a data set in the order of its labels; None if it has no classes or no names."""
        if self._source.files is not None or self._source.label_feature is None:
            return None
        return getattr(self.builder.info.features[self._source.label_feature], "names", None)

    def images(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Found]:
        """Yields the images of a split, or of one chunk of it, after the first `start`, in the same order each time.

        Raises:
            UserError: As `identity`, and for a broken TFRecord or an example in it without image or label.
        """
        if self._source.files is None:
            first, stop = chunk or (0, None)
            yield from self._of_tfds(split, first + start, stop)
            return
        label = self._source.label_feature
        for name, features in self.in_files(chunk or self.paths[split], start):
            if features is None:
                # The folder in which the file is listed, even if it is a link to another folder.
                folder = printable_path(os.path.basename(os.path.dirname(os.path.abspath(name))))
                size = os.path.getsize(name)
                yield Found(printable_path(name), pathlib.Path(name), None if label is None else folder, size)
            else:
                content = sources.one_bytes(name, features, self._source.image_feature)
                yield Found(name, content, _label(name, features, label), len(content))

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the images of a chunk as `Record`s with the bytes of their files; pixels become a PNG file."""
        names = self.class_names()
        for found in self.images(split, chunk=chunk):
            content = found.content
            if isinstance(content, pathlib.Path):
                content = _read(content)
            elif isinstance(content, np.ndarray):
                content = tf.io.encode_png(content).numpy()
            yield Record(found.name, {_IMAGE: content, **_label_features(found.label, names)})

    def about(self) -> dict[str, Any]:
        """Returns the class names of a data set."""
        return {_CLASS_NAMES: self.class_names()}

    def _of_tfds(self, split: Split, start: int, stop: int | None) -> Iterator[Found]:
        import tensorflow_datasets as tfds

        source = self._source
        # The data set must not decode the images itself: it would stop at a broken one.
        is_file = isinstance(self.builder.info.features[source.image_feature], tfds.features.Image)
        encoded = source.image_feature if is_file else None
        for name, example in sources.examples(source, self.builder, split, start, stop, encoded):
            label = None if source.label_feature is None else int(example[source.label_feature])
            yield Found(name, example[source.image_feature], label, 1)

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError unless the image and label features exist and have fitting types."""
        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}

        def check(key, kind, name, fits):
            fitting = [other for other, spec in specs.items() if isinstance(spec, tf.TensorSpec) and fits(spec)]
            if name not in fitting:
                raise UserError(
                    f"`data.source.{key}` must name a feature of {self._source.tfds} with {kind}: "
                    f"{', '.join(fitting) or 'it has none'} (of {', '.join(specs)}). Received: {name}"
                )

        def is_image(spec):
            return spec.shape.rank == 3 and spec.dtype == tf.uint8 and spec.shape[-1] in (None, 1, 2, 3, 4)

        check("image_feature", "images", self._source.image_feature, is_image)
        if self._source.label_feature is not None:
            is_label = lambda spec: spec.shape.rank == 0 and spec.dtype.is_integer  # noqa: E731
            check("label_feature", "integer labels", self._source.label_feature, is_label)


class RecordedReader(reader.Recorded[ImageSource], Reader):
    """Finds the images in records that `Reader.records` yielded."""

    def identity(self) -> Any:
        """Returns the hashes of the records, and what else is known of their source."""
        return [self._records.identity, self._records.about]

    def class_names(self) -> list[str] | None:
        """Returns the class names of the data set that the records were read from; None if it had none."""
        return self._records.about[_CLASS_NAMES]

    def images(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Found]:
        """Yields the images of a split after the first `start`; `chunk` is ignored, as `Records.only` has chosen it."""
        for record in self._records.read(split, start):
            label: Any = record.features.get(_NUMBER, record.features.get(_LABEL))
            if isinstance(label, bytes):
                label = label.decode("utf-8", "surrogateescape")
            yield Found(record.name, record.features[_IMAGE], label, record.size)  # type: ignore[arg-type]


def pixels(content: pathlib.Path | bytes | np.ndarray, shape: Shape, resize: bool) -> np.ndarray:
    """Returns an image as uint8 `[H,W,C]`, decoded as in exported models.

    Args:
        content: Path or bytes of an image file, or pixels.
        shape: Shape of the result. Images with other channels are converted to grey or RGB.
        resize: Whether an image of another height or width is resized, with antialiasing and without keeping its
            proportions. If False, it is a fault.

    Raises:
        FaultError: If the content is not a valid image, or the image has another size and `resize` is False.
        UserError: If the file cannot be read at the moment, which is no fault of the image.
    """
    shape = as_shape(shape)
    if isinstance(content, pathlib.Path):
        content = _read(content)
    if isinstance(content, np.ndarray):
        size, found = content.shape[:2], decoding.fit(decoding.to_rgb(tf.constant(content)), shape)
    else:
        size, found = _decoded(content, shape)
    if size != shape[:2] and not resize:
        raise FaultError(
            "of another size", f"is {size[0]} x {size[1]}, not {shape[0]} x {shape[1]} (data.source.resize=false)"
        )
    return found.numpy()


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {printable_path(str(path))}: {error.strerror}") from None


def _decoded(content, shape):
    """Returns the height and width of a file's image, and its pixels in the shape."""
    try:
        problem, size, found = decoding.read(tf.constant(content), shape)
    except tf.errors.InvalidArgumentError:
        kind = decoding.FORMATS[int(decoding.inspect(content).format)]
        raise FaultError("damaged", f"is a {kind} that is truncated or damaged") from None
    if why := problem.numpy().decode():
        raise FaultError("not an image", f"is {why}")
    return tuple(size.numpy().tolist()), found


def _label(name, features, feature):
    """Returns the class of an example in a TFRecord: its one integer, or its one bytes value as a name."""
    if feature is None:
        return None
    numbers = list(features[feature].int64_list.value) if feature in features else []
    if len(numbers) == 1:
        return numbers[0]
    return sources.one_bytes(name, features, feature).decode("utf-8", "backslashreplace")


def _label_features(label: Label, names: list[str] | None) -> dict[str, int | str]:
    """Returns the features of a record for the label of an image: its name, for statistics, and its number if any."""
    if isinstance(label, int):
        return {_LABEL: names[label] if names and 0 <= label < len(names) else str(label), _NUMBER: label}
    return {} if label is None else {_LABEL: label}
