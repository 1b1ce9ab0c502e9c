"""The preparation and the preprocessing of every task whose images are only brought to one shape."""

import collections
import concurrent.futures
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import Writer
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource, Shape, as_shape
from ikelos.pipelines.image.reading import FaultError, Found, Reader, pixels
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.report.tiles import tiled

_SHOWN = (4, 12)
"""Rows and columns of the images that are shown."""
_HELD_OUT: tuple[Split, ...] = ("validation", "test")
_DECODERS = 2
_NAMED = 20
"""Faults that are told by name where no image can be taken."""
_WAITING = 64
"""Images that are decoded, or wait for it, at once."""


class ImagePreprocessing(Preprocessing):
    """The names of the classes, and an image to show.

    Attributes:
        class_names: In the order of the labels; empty without classes.
        example: uint8 `[H,W,C]`.
    """

    def __init__(self, class_names: tuple[str, ...], example: np.ndarray):
        super().__init__(name="preprocessing")
        self.class_names = class_names
        self.example = example

    def save(self, folder: Path) -> None:
        """Writes `classes.json` and `example.png`."""
        (folder / "classes.json").write_text(json.dumps(list(self.class_names)) + "\n", encoding="utf-8")
        (folder / "example.png").write_bytes(tf.io.encode_png(self.example).numpy())


class ImagePreparation(Preparation[ImagePreprocessing]):
    """Images of one shape, with the index of their class where there are classes.

    The stores have the columns `image`, uint8 `[H,W,C]`, and `label`. The classes of files are those of the training
    images: names sorted, numbers in the order of numbers.
    """

    def __init__(self, source: ImageSource, shape: Shape):
        self.name = source.tfds or "images"
        self.allowed_faults = source.allowed_faults
        self._source, self._shape = source, as_shape(shape)
        self._reader = Reader(source)

    def identity(self) -> Any:
        """The shape and the images."""
        return [self._shape, self._reader.identity()]

    def learn(self, progress: Callable[[int], None]) -> ImagePreprocessing:
        """The names of the classes, and the first training image as example.

        Raises:
            UserError: If no training image can be taken, or another split has a class that the training images do not.
        """
        names = self._reader.class_names()
        if names is None and self._source.label_feature is not None:
            labels = set()
            for found in self._reader.images("train"):
                labels.add(found.label)
                progress(found.size)
            numbers = {str(label): 0 for label in labels}
            for split in _HELD_OUT:  # told now, not when all training images have been decoded
                for found in self._reader.images(split):
                    _number(split, found, numbers, told=False)
            names = [str(label) for label in sorted(labels, key=lambda label: (isinstance(label, str), label))]
        faults: list[str] = []
        for found in self._reader.images("train"):
            example = self._taken(found)
            if not isinstance(example, FaultError):
                return ImagePreprocessing(tuple(names or ()), example)
            if len(faults) < _NAMED:
                faults.append(f"{found.name}: {example.why}\n")
        raise UserError("".join(faults) + f"The split 'train' of {self.name} has no image that can be taken.")

    def load(self, folder: Path) -> ImagePreprocessing:
        """Reads them."""
        names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        return ImagePreprocessing(tuple(names), tf.io.decode_png((folder / "example.png").read_bytes()).numpy())

    def columns(self, learned: ImagePreprocessing) -> Mapping[str, Column]:
        """The image, and the label where there are classes."""
        labels = {} if self._source.label_feature is None else {"label": Column("int64")}
        return {"image": Column("uint8", self._shape), **labels}

    def size(self, split: Split) -> Size:
        """Bytes or examples to read."""
        return self._reader.size(split)

    def write(self, learned: ImagePreprocessing, split: Split, writer: Writer) -> None:
        """Decodes the images, several at once, and writes them in their order.

        Raises:
            UserError: If one has a class that the training images do not have, or the data set does not name.
        """
        told = self._reader.class_names() is not None
        numbers = {name: index for index, name in enumerate(learned.class_names)}
        start = writer.cursor or 0
        for index, (found, taken) in enumerate(_in_threads(self._taken, self._reader.images(split, start)), start):
            label = {} if self._source.label_feature is None else {"label": _number(split, found, numbers, told)}
            if isinstance(taken, FaultError):
                writer.skip(found.name, taken.kind, taken.why)
            else:
                writer.end(found.name, image=taken, **label)
            writer.read(index + 1, found.size)

    def class_names(self, learned: ImagePreprocessing) -> tuple[str, ...]:
        """Those of the preprocessing."""
        return learned.class_names

    def show(self, learned: ImagePreprocessing, store: Store) -> np.ndarray:
        """The first images, as one picture."""
        images = store.array("image")[: _SHOWN[0] * _SHOWN[1]]
        columns = min(_SHOWN[1], len(images))
        return tiled(images[: len(images) // columns * columns].reshape(-1, columns, *images.shape[1:]))

    def _taken(self, found: Found) -> np.ndarray | FaultError:
        try:
            return pixels(found.content, self._shape, self._source.resize)
        except FaultError as fault:
            return fault


def check_told_classes(told: bool, now: ImagePreprocessing, trained_with: ImagePreprocessing) -> None:
    """Refuses images of other classes than those that a model was told in its training.

    Raises:
        UserError: If a model that is `told` classes would take one for another.
    """
    if told and now.class_names != trained_with.class_names:
        raise UserError(
            f"the classes of `data.source` must be those that the model was told, "
            f"{', '.join(trained_with.class_names)}. Received: {', '.join(now.class_names) or 'none'}"
        )


def _number(split: Split, found: Found, numbers: Mapping[str, int], told: bool) -> int:
    """The index of an image's class: its label, if the data set has told the classes, else that of its name."""
    if not told:
        if str(found.label) not in numbers:
            raise UserError(
                f"{split} has the class {str(found.label)!r} ({found.name}), of which the training images have none. "
                "The class of an image file is the name of its folder; `data.source.label_feature: null` takes images "
                "without classes"
            )
        return numbers[str(found.label)]
    if found.label not in range(len(numbers)):  # Data sets mark images without a class by -1.
        raise UserError(
            f"{split}: image {found.name} has the label {found.label}, which is none of the {len(numbers)} classes; "
            "`data.source.label_feature: null` takes images without classes"
        )
    return found.label  # type: ignore[return-value]  # a data set's labels are numbers


def _in_threads(function: Callable[[Found], Any], items: Iterable[Found]) -> Iterator[tuple[Found, Any]]:
    """Each item with what `function` gives for it, in order; some are under way at once, and not more."""
    waiting: collections.deque[tuple[Found, concurrent.futures.Future]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > _WAITING:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
