"""Images with or without classes, from TensorFlow Datasets or from files, all of one shape and in memory."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint, sources
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.examples import Examples
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource

_SUFFIXES = (".png", ".jpg", ".jpeg", *sources.TFRECORDS)

# The id of an image, its pixels in the shape that all have, and its class's name or number, None without classes.
_Found = Iterator[tuple[str, np.ndarray, str | int | None]]


@dataclasses.dataclass(frozen=True)
class Images(Examples):
    """The images of one split: the features `image` and, if there are classes, `label`.

    Attributes:
        class_names: Of all splits together, sorted, or in the data set's own order; empty without classes.
    """

    class_names: Sequence[str]

    @property
    def pixels(self) -> np.ndarray:
        """uint8 `[N,H,W,C]`."""
        return self.features["image"]

    @property
    def labels(self) -> np.ndarray | None:
        """int64 `[N]`, the index of each class; None without classes."""
        return self.features.get("label")

    def sha256(self) -> str:
        """Of ids, pixels, labels and the names of the classes."""
        return fingerprint.sha256([super().sha256().encode(), json.dumps(list(self.class_names)).encode()])

    def with_pixels(self, pixels: np.ndarray) -> "Images":
        """The same with other pixels."""
        return dataclasses.replace(self, features={**self.features, "image": pixels})


def load(source: ImageSource, shape: tuple[int, int, int]) -> dict[Split, Images]:
    """Reads all splits, in an order that is the same each time.

    Args:
        source: Where they come from.
        shape: `(H, W, C)` of every image, C 1 or 3. Images of another size are resized (with antialiasing, not
            keeping proportions), those with other channels converted to grey or RGB.

    Raises:
        UserError: for an unknown data set, config, split or feature; a pattern without files, a file in two splits; a
            file that is no image; a split without images; a class that the data set does not name, or that
            validation or test has and training has not.
    """
    if source.files is not None:
        paths = sources.files(source.files, _SUFFIXES)
        found = {split: list(_of_files(paths[split], source, shape)) for split in SPLITS}
        names = None
    else:
        builder, names = _opened(source)
        found = {split: list(_of_tfds(source, builder, names, split, shape)) for split in SPLITS}
    for split in SPLITS:
        if not found[split]:
            raise UserError(f"{sources.place(source, split)} has no images")
    labels = {split: [label for _, _, label in found[split]] for split in SPLITS}
    if names is None and source.label_feature is not None:
        numbers = {label: number for number, label in enumerate(_classes(labels))}
        labels = {split: [numbers[label] for label in labels[split]] for split in SPLITS}
        names = [str(label) for label in numbers]
    return {
        split: Images(
            ids=[name for name, _, _ in found[split]],
            features={
                "image": np.stack([pixels for _, pixels, _ in found[split]]),
                **({} if names is None else {"label": np.array(labels[split], np.int64)}),
            },
            class_names=tuple(names or ()),
        )
        for split in SPLITS
    }


def _opened(source):
    """The builder of a data set, and the names of its classes if there are any and it tells them."""
    builder = sources.open_tfds(source)
    features = builder.info.features
    specs = {name: feature.get_tensor_spec() for name, feature in features.items()}

    def check(what, name, fits):
        fitting = [other for other, spec in specs.items() if isinstance(spec, tf.TensorSpec) and fits(spec)]
        if name not in fitting:
            raise UserError(
                f"data set {source.tfds!r} has no {what} feature {name!r}; its features: {', '.join(specs)}; "
                f"those that would do: {', '.join(fitting) or 'none'}"
            )

    check("image", source.image_feature, lambda spec: spec.shape.rank == 3 and spec.dtype == tf.uint8)
    if source.label_feature is None:
        return builder, None
    check("label", source.label_feature, lambda spec: spec.shape.rank == 0 and spec.dtype.is_integer)
    label = features[source.label_feature]
    # The labels of examples count these names.
    return builder, getattr(label, "names", None)


def _of_tfds(source, builder, class_names, split, shape) -> _Found:
    for name, example in sources.examples(source, builder, split):
        label = None if source.label_feature is None else int(example[source.label_feature])
        # Data sets mark images without a class by -1.
        if class_names is not None and label not in range(len(class_names)):
            raise UserError(
                f"{sources.place(source, split)}: image {name} has the label {label}, which is none of the "
                f"{len(class_names)} classes; `label_feature: null` takes images without classes"
            )
        yield name, _fitted(example[source.image_feature], shape), label


def _of_files(paths, source, shape) -> _Found:
    for path in paths:
        if not sources.is_tfrecord(path):
            label = None if source.label_feature is None else pathlib.Path(path).resolve().parent.name
            yield path, _decoded(path, _read(path), shape), label
            continue
        for name, features in sources.records(path):
            content = sources.one_bytes(name, features, source.image_feature)
            yield name, _decoded(name, content, shape), _label(name, features, source.label_feature)


def _read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None


def _label(name, features, feature):
    """An example's class: one integer, or one name as bytes."""
    if feature is None:
        return None
    numbers = list(features[feature].int64_list.value) if feature in features else []
    if len(numbers) == 1:
        return numbers[0]
    return sources.one_bytes(name, features, feature).decode("utf-8", "replace")


def _decoded(name, content, shape):
    try:
        pixels = tf.io.decode_image(content, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        raise UserError(f"{name} is no PNG, JPEG, GIF or BMP image") from None
    # In the file's own channels: asked for grey, TensorFlow refuses GIF, BMP and CMYK.
    return _fitted(pixels.numpy(), shape)


def _fitted(pixels, shape):
    """An image of the shape that all have."""
    if pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    if pixels.shape[2] == 2:
        pixels = pixels[:, :, :1]
    if pixels.shape[2] != shape[2]:
        convert = tf.image.rgb_to_grayscale if shape[2] == 1 else tf.image.grayscale_to_rgb
        pixels = convert(tf.constant(pixels)).numpy()
    if pixels.shape != tuple(shape):
        resized = tf.image.resize(pixels, shape[:2], antialias=True)
        pixels = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8).numpy()
    return pixels


def _classes(labels):
    """All labels of the training images; numbers in the order of numbers, names sorted."""
    classes = {split: set(labels[split]) for split in SPLITS}
    for split in ("validation", "test"):
        missing = sorted(map(str, classes[split] - classes["train"]))
        if missing:
            raise UserError(f"{split} has the class {missing[0]!r}, of which the training images have none")
    return sorted(classes["train"], key=lambda label: (isinstance(label, str), label))
