"""Where examples come from, as sections of a recipe. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

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


class Shares(Section):
    """Shares of the files that are held out; training has the others.

    A file's split is drawn by the hash of its name and its folder's, so that it stays the same whatever other files
    come. One text file alone is divided: its end is the test text, and what comes before that the validation text.

    Attributes:
        validation: Of the files that epochs are compared on.
        test: Of those that the figures of the report are measured on.
    """

    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @pydantic.model_validator(mode="after")
    def _some_are_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                "`validation` and `test` must leave a share for training. "
                f"Received: validation={self.validation:g}, test={self.test:g}"
            )
        return self


class Patterns(Section):
    """File patterns of the three splits, as of `Source.files`.

    Attributes:
        train: Of the files that the model is trained on, such as `[texts/train/*.txt]`.
        validation: Of those that epochs are compared on.
        test: Of those that the figures of the report are measured on.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def _kind_of_files(value: Any) -> str | None:
    if isinstance(value, str):
        return "one"
    if isinstance(value, list | tuple):
        return "several"
    return "of splits" if isinstance(value, Patterns | Mapping) else None


def _kind_of_splits(value: Any) -> str | None:
    if isinstance(value, Splits | Shares):
        return "names" if isinstance(value, Splits) else "shares"
    if not isinstance(value, Mapping):
        return None
    return "shares" if any(isinstance(share, int | float) for share in value.values()) else "names"


def _union(function: Any, expected: str) -> pydantic.Discriminator:
    return pydantic.Discriminator(
        function, custom_error_type="kind", custom_error_message=f"Input should be {expected}"
    )


class Source(Section):
    """Either a data set of TensorFlow Datasets (`tfds`, `splits`) or files of one's own (`files`).

    Attributes:
        tfds: What `tfds.builder` takes: a data set's name, with a config and a version if wanted
            (`shakespeare_plays`, `wiki40b/en:1.3.0`), one of a community (`huggingface:mnist`), or the folder of one
            that is prepared.
        splits: The names of the data set's splits, or shares of `files`.
        data_dir: The folder of its prepared files; null takes `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        files: File patterns in place of a data set, relative to the working directory: one or a list with shares in
            `splits`, or lists for `train`, `validation` and `test`. `*` and `?` stand for what they do in a shell, `**`
            crosses folders, `~` is the user's; a folder means all that is in it. The suffix, in either case, gives the
            format: `.txt` and `.txt.gz` hold one document each, in UTF-8; `.png`, `.jpg`, `.jpeg`, `.gif`, `.bmp` and
            `.webp` one image each; `.tfrecord` and `.tfrecord.gz` hold one `tf.train.Example` for each document or
            image.
        allowed_faults: Largest share of a split's examples that may be faulty, such as broken images or text that is
            not UTF-8, and are then left out and named in the report.
    """

    tfds: str | None = None
    splits: (
        Annotated[
            Annotated[Splits, pydantic.Tag("names")] | Annotated[Shares, pydantic.Tag("shares")],
            _union(_kind_of_splits, "a section of train, validation and test, or of the shares validation and test"),
        ]
        | None
    ) = None
    data_dir: str | None = None
    files: (
        Annotated[
            Annotated[str, pydantic.Tag("one")]
            | Annotated[tuple[str, ...], pydantic.Tag("several")]
            | Annotated[Patterns, pydantic.Tag("of splits")],
            _union(_kind_of_files, "a pattern, a list of patterns, or a section of train, validation and test"),
        ]
        | None
    ) = None
    allowed_faults: BelowOne = 0.0

    @pydantic.model_validator(mode="after")
    def _is_one_source(self) -> Self:
        if (self.tfds is None) == (self.files is None):
            given = "both" if self.tfds is not None else "neither"
            raise ValueError(f"give one of `tfds` and `files` (the other is null). Received: {given}")
        if self.tfds is not None and not isinstance(self.splits, Splits):
            received = "null" if self.splits is None else "shares"
            raise ValueError(
                "`splits` must name the splits of the data set, such as train[:90%]. "
                f"Received: tfds={self.tfds}, splits={received}"
            )
        if self.files == ():
            raise ValueError("`files` must have a pattern. Received: files=[]")
        if isinstance(self.files, str | tuple) and not isinstance(self.splits, Shares):
            received = "null" if self.splits is None else "names"
            raise ValueError(
                "`splits` must be shares, such as {validation: 0.05, test: 0.05}, with `files` that are not given for "
                f"each split. Received: splits={received}"
            )
        if isinstance(self.files, Patterns) and isinstance(self.splits, Shares):
            raise ValueError(
                "`splits` must be null with `files` of each split. "
                f"Received: splits={{validation: {self.splits.validation:g}, test: {self.splits.test:g}}}"
            )
        return self
