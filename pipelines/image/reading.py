"""Images with or without classes, from TensorFlow Datasets or from files, read one after the other."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import reader, sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.patterns import printable
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.config import ImageSource, Shape, as_shape

Label = str | int | None
"""The name or number of a class, None without classes."""


class FaultError(Exception):
    """An image that cannot be taken: its kind, and what is wrong with it."""

    def __init__(self, kind: str, why: str):
        super().__init__(kind, why)
        self.kind, self.why = kind, why


@dataclasses.dataclass(frozen=True)
class Found:
    """An image that has not been decoded yet.

    Attributes:
        name: A stable id: the data set's own feature `id`, the file's path, or a number behind these.
        content: An image file's path or bytes, or pixels.
        label: Of its class.
        size: How much of the source it is, in the units of `Reader.size`.
    """

    name: str
    content: pathlib.Path | bytes | np.ndarray
    label: Label
    size: int


class Reader(reader.Reader[ImageSource]):
    """Finds the images of a source."""

    suffixes = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", *sources.TFRECORDS)

    def class_names(self) -> list[str] | None:
        """Those that a data set itself tells, in the order of its labels; None if there are none, or it tells none."""
        if self._source.files is not None or self._source.label_feature is None:
            return None
        return getattr(self.builder.info.features[self._source.label_feature], "names", None)

    def images(self, split: Split, start: int = 0) -> Iterator[Found]:
        """The images of a split behind the first `start`, in an order that is the same each time.

        Raises:
            UserError: As for `identity`; a TFRecord that is none, or an example of it without image or label.
        """
        if self._source.files is None:
            yield from self._of_tfds(split, start)
            return
        label = self._source.label_feature
        for name, features in self.in_files(split, start):
            if features is None:
                # The folder that it is listed in, wherever a link leads to.
                folder = None if label is None else printable(os.path.basename(os.path.dirname(os.path.abspath(name))))
                yield Found(printable(name), pathlib.Path(name), folder, os.path.getsize(name))
            else:
                content = sources.one_bytes(name, features, self._source.image_feature)
                yield Found(name, content, _label(name, features, label), len(content))

    def _of_tfds(self, split: Split, start: int) -> Iterator[Found]:
        import tensorflow_datasets as tfds

        source = self._source
        # Not decoded by the data set: a broken image would end the reading there.
        is_file = isinstance(self.builder.info.features[source.image_feature], tfds.features.Image)
        encoded = source.image_feature if is_file else None
        for name, example in sources.examples(source, self.builder, split, start, encoded):
            label = None if source.label_feature is None else int(example[source.label_feature])
            yield Found(name, example[source.image_feature], label, 1)

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Image and label must be there, and be such."""
        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}

        def check(what, name, fits):
            fitting = [other for other, spec in specs.items() if isinstance(spec, tf.TensorSpec) and fits(spec)]
            if name not in fitting:
                raise UserError(
                    f"data set {self._source.tfds!r} has no {what} feature {name!r}; its features: {', '.join(specs)}; "
                    f"those that would do: {', '.join(fitting) or 'none'}"
                )

        def is_image(spec):
            return spec.shape.rank == 3 and spec.dtype == tf.uint8 and spec.shape[-1] in (None, 1, 2, 3, 4)

        check("image", self._source.image_feature, is_image)
        if self._source.label_feature is not None:
            check("label", self._source.label_feature, lambda spec: spec.shape.rank == 0 and spec.dtype.is_integer)


def pixels(content: pathlib.Path | bytes | np.ndarray, shape: Shape, resize: bool) -> np.ndarray:
    """An image as uint8 `[H,W,C]`, by the decoder that the exported model has too.

    Args:
        content: An image file's path or bytes, or pixels.
        shape: Of the result. Other channels are converted to grey or RGB.
        resize: Whether an image of another height or width is resized, with antialiasing and not keeping its
            proportions, or is a fault.

    Raises:
        FaultError: If it is not an image, or has another size.
        UserError: If its file cannot be read now, which says nothing of the image.
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
        raise UserError(f"{printable(str(path))} can't be read: {error.strerror}") from None


def _decoded(content, shape):
    """Height and width of a file's image, and its pixels in the shape."""
    try:
        problem, size, found = decoding.read(tf.constant(content), shape)
    except tf.errors.InvalidArgumentError:
        kind = decoding.FORMATS[int(decoding.inspect(content).format)]
        raise FaultError("damaged", f"is a {kind} that is truncated or damaged") from None
    if why := problem.numpy().decode():
        raise FaultError("not an image", f"is {why}")
    return tuple(size.numpy().tolist()), found


def _label(name, features, feature):
    """An example's class: one integer, or one name as bytes."""
    if feature is None:
        return None
    numbers = list(features[feature].int64_list.value) if feature in features else []
    if len(numbers) == 1:
        return numbers[0]
    return sources.one_bytes(name, features, feature).decode("utf-8", "backslashreplace")
