"""Preparation and preprocessing of images of one shape, for every task that needs no other preprocessing."""

import collections
import concurrent.futures
import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.records import Chunk, Record, Records
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.config import ImageSource, Shape, as_shape
from ikelos.pipelines.image.reading import FaultError, Found, Reader, RecordedReader, pixels
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.report.tiles import tiled

_SHOWN = (4, 12)
"""Rows and columns of the picture of examples."""
_HELD_OUT: tuple[Split, ...] = ("validation", "test")
_DECODERS = 2
_NAMED = 20
"""Number of faults that are listed if no image can be decoded."""
_WAITING = 64
"""Most images that are being decoded or waiting for it."""


class ImagePreprocessing(Preprocessing):
    """The names of the classes, and an example image.

    Attributes:
        class_names: Names of the classes in the order of the labels; empty without classes.
        example: Example image, uint8 `[H,W,C]`.
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
    """Preparation of images of one shape, with the index of their class if there are classes.

    The stores have the columns `image`, uint8 `[H,W,C]`, and `label`. If a data set does not name its classes, they are
    those of the training images, sorted: numbers numerically, before names.
    """

    def __init__(self, source: ImageSource, shape: Shape):
        self.name = source.tfds or "images"
        self.allowed_faults = source.allowed_faults
        self._source, self._shape = source, as_shape(shape)
        self._reader: Reader = Reader(source)

    def identity(self) -> Any:
        """Returns the shape and the state of the images."""
        return [self._shape, self._reader.identity()]

    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split."""
        return self._reader.chunks(split)

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the images of a chunk as they are read."""
        return self._reader.records(split, chunk)

    def about(self) -> dict[str, Any]:
        """Returns the class names of the data set."""
        return self._reader.about()

    def from_records(self, records: Records) -> "ImagePreparation":
        """Returns this preparation with these images instead of the source."""
        other = copy.copy(self)
        other._reader = RecordedReader(self._source, records)
        return other

    def learn(self, progress: Callable[[int], None]) -> ImagePreprocessing:
        """Finds the names of the classes, and takes the first training image as example.

        Raises:
            UserError: If the source cannot be read, no training image can be used, or another split has a class without
                training images.
        """
        names = self._reader.class_names()
        if names is None and self._source.label_feature is not None:
            labels = set()
            for found in self._reader.images("train"):
                labels.add(found.label)
                progress(found.size)
            numbers = {str(label): 0 for label in labels}
            for split in _HELD_OUT:  # checked here, so that an error comes before all training images are decoded
                for found in self._reader.images(split):
                    _number(split, found, numbers, named=False)
            names = [str(label) for label in sorted(labels, key=lambda label: (isinstance(label, str), label))]
        faults: list[str] = []
        for found in self._reader.images("train"):
            example = self._taken(found)
            if not isinstance(example, FaultError):
                return ImagePreprocessing(tuple(names or ()), example)
            if len(faults) < _NAMED:
                faults.append(f"{found.name} {example.why}\n")
        raise UserError("".join(faults) + f"The split 'train' of {self.name} has no image that can be used.")

    def load(self, folder: Path) -> ImagePreprocessing:
        """Loads the names of the classes and the example."""
        names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        return ImagePreprocessing(tuple(names), tf.io.decode_png((folder / "example.png").read_bytes()).numpy())

    def columns(self, learned: ImagePreprocessing) -> Mapping[str, Column]:
        """Returns the column `image` and, with classes, `label`."""
        labels = {} if self._source.label_feature is None else {"label": Column("int64")}
        return {"image": Column("uint8", self._shape), **labels}

    def size(self, split: Split) -> Size:
        """Returns the bytes or examples of a split."""
        return self._reader.size(split)

    def write(self, learned: ImagePreprocessing, split: Split, writer: Sink) -> None:
        """Decodes the images in threads and writes them in order.

        Raises:
            UserError: If the source cannot be read, or an image has a class without training images or, where the data
                set names its classes, a label that is none of them.
        """
        named = self._reader.class_names() is not None
        numbers = {name: index for index, name in enumerate(learned.class_names)}
        start = writer.cursor or 0
        for index, (found, taken) in enumerate(_in_threads(self._taken, self._reader.images(split, start)), start):
            label = {} if self._source.label_feature is None else {"label": _number(split, found, numbers, named)}
            if isinstance(taken, FaultError):
                writer.skip(found.name, taken.kind, taken.why)
            else:
                writer.end(found.name, image=taken, **label)
            writer.read(index + 1, found.size)

    def class_names(self, learned: ImagePreprocessing) -> tuple[str, ...]:
        """Returns the class names of the preprocessing."""
        return learned.class_names

    def show(self, learned: ImagePreprocessing, store: Store) -> np.ndarray:
        """Returns the first images as one picture."""
        images = store.array("image")[: _SHOWN[0] * _SHOWN[1]]
        columns = min(_SHOWN[1], len(images))
        return tiled(images[: len(images) // columns * columns].reshape(-1, columns, *images.shape[1:]))

    def _taken(self, found: Found) -> np.ndarray | FaultError:
        try:
            return pixels(found.content, self._shape, self._source.resize)
        except FaultError as fault:
            return fault


def _number(split: Split, found: Found, numbers: Mapping[str, int], named: bool) -> int:
    """Returns the index of an image's class: its label if the data set names the classes (`named`), or by `numbers`."""
    if not named:
        if str(found.label) not in numbers:
            raise UserError(
                f"the class {str(found.label)!r} of {found.name} in the split {split!r} must have training images. "
                "Received: none. The class of an image file is the name of its folder; data.source.label_feature=null "
                "takes images without classes"
            )
        return numbers[str(found.label)]
    if found.label not in range(len(numbers)):  # data sets give images without a class the label -1
        raise UserError(
            f"the label of {found.name} in the split {split!r} must be from 0 to {len(numbers) - 1}. "
            f"Received: {found.label}. data.source.label_feature=null takes images without classes"
        )
    return found.label  # type: ignore[return-value]  # a data set's labels are numbers


def _in_threads(function: Callable[[Found], Any], items: Iterable[Found]) -> Iterator[tuple[Found, Any]]:
    """Yields each item with the result of `function`, in order; reads at most `_WAITING` items ahead."""
    waiting: collections.deque[tuple[Found, concurrent.futures.Future]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > _WAITING:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
