"""Where examples come from, as sections of a recipe. Imports nothing heavy."""

from typing import Literal, Self

import pydantic

from ikelos.pipelines.recipe.sections import BelowOne, Section

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Splits(Section):
    """TensorFlow Datasets' names of the three splits, slices allowed: `train[:95%]`.

    Attributes:
        train: What the model is trained on.
        validation: What epochs are compared on.
        test: What the figures of the report are measured on.
    """

    train: str
    validation: str
    test: str


class Patterns(Section):
    """File patterns of the three splits, relative to the working directory; `**` crosses folders.

    The suffix gives the format: `.txt` and `.txt.gz` hold one document each, in UTF-8; `.png`, `.jpg` and `.jpeg` one
    image each; `.tfrecord` and `.tfrecord.gz` hold one `tf.train.Example` for each document or image.

    Attributes:
        train: Of the files that the model is trained on, such as `[texts/train/*.txt]`.
        validation: Of those that epochs are compared on.
        test: Of those that the figures of the report are measured on.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


class Source(Section):
    """Either a data set of TensorFlow Datasets (`tfds`, `splits`) or files of one's own (`files`).

    Attributes:
        tfds: the data set's name, with a config and a version if wanted: `shakespeare_plays`,
            `wiki40b/en:1.3.0`.
        splits: the names of its splits.
        data_dir: the folder of its prepared files; null takes `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        files: patterns instead of a data set.
        allowed_faults: largest share of a split's examples that may be faulty, such as broken images or text that is
            not UTF-8, and are then left out and named in the report.
    """

    tfds: str | None = None
    splits: Splits | None = None
    data_dir: str | None = None
    files: Patterns | None = None
    allowed_faults: BelowOne = 0.0

    @pydantic.model_validator(mode="after")
    def _is_one_source(self) -> Self:
        if (self.tfds is None) == (self.files is None):
            given = "both" if self.tfds is not None else "neither"
            raise ValueError(f"give one of `tfds` and `files` (the other is null). Received: {given}")
        if self.tfds is not None and self.splits is None:
            raise ValueError(f"`splits` must name the splits of the data set. Received: tfds={self.tfds}, splits=null")
        return self
