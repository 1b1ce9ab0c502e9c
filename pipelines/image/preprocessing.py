"""The preprocessing of every task whose images are only brought to one shape."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image.reading import Images
from ikelos.pipelines.preprocessing import Preprocessing


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

    @classmethod
    def of(cls, images: Images) -> "ImagePreprocessing":
        """Of the images of a split, with their first one as example."""
        return cls(tuple(images.class_names), images.pixels[0])

    def save(self, folder: Path) -> None:
        """Writes `classes.json` and `example.png`."""
        (folder / "classes.json").write_text(json.dumps(list(self.class_names)) + "\n", encoding="utf-8")
        (folder / "example.png").write_bytes(tf.io.encode_png(self.example).numpy())

    @classmethod
    def load(cls, folder: Path) -> "ImagePreprocessing":
        """Reads what `save` wrote."""
        names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        return cls(tuple(names), tf.io.decode_png((folder / "example.png").read_bytes()).numpy())
