"""Recipe sections that say where examples come from. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from ikelos.pipelines.recipe.sections import BelowOne, Positive, Section

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SPAN = "{SPAN}"
"""Part of a file pattern that stands for a span of data: the digits of a number, or a date such as 2026-11-28."""
_TITLED = 3
"""Most file patterns in a title."""


class Splits(Section):
    """Names of the three splits in TensorFlow Datasets; slices such as `train[:95%]` are allowed.

    Attributes:
        train: Split that the model is trained on.
        validation: Split on which epochs are compared.
        test: Split on which the figures of the report are measured.
    """

    train: str
    validation: str
    test: str


class Shares(Section):
    """Held-out shares of the files; the remaining files are for training.

    A hash of the file's name and its folder's name decides the file's split, so adding other files does not change it.
    A single text file is divided: its end is the test text, preceded by the validation text.

    Attributes:
        validation: Share of the files on which epochs are compared.
        test: Share of the files on which the figures of the report are measured.
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
    """File patterns of the three splits, in the syntax of `Source.files`.

    Attributes:
        train: Patterns of the files that the model is trained on, such as `[texts/train/*.txt]`.
        validation: Patterns of the files on which epochs are compared.
        test: Patterns of the files on which the figures of the report are measured.
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
    """Either a data set of TensorFlow Datasets (`tfds`, `splits`) or your own files (`files`).

    Attributes:
        tfds: Name of a data set, as for `tfds.builder`, optionally with a config and a version (`shakespeare_plays`,
            `wiki40b/en:1.3.0`) or with a community (`huggingface:mnist`); or the folder of a prepared data set.
        splits: Names of the data set's splits, or held-out shares of `files`; null if `files` has a list for each
            split.
        data_dir: Folder of the data set's prepared files; null takes `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        files: File patterns instead of a data set, relative to the working directory: one pattern or a list, with
            shares in `splits`, or one list for each of `train`, `validation` and `test`. `*`, `?` and `~` work as
            in a shell, `**` crosses folders, and a folder stands for all files in it. The suffix, in upper or
            lower case, gives the format: a `.txt` or `.txt.gz` file is one document in UTF-8; a `.png`, `.jpg`,
            `.jpeg`, `.gif`, `.bmp` or `.webp` file is one image; a `.tfrecord` or `.tfrecord.gz` file has one
            `tf.train.Example` for each document or image. `{SPAN}`, once in a pattern, stands for a span of data: the
            digits of a number, or a date such as 2026-11-28.
        spans: Number of the newest spans of the training files to take, in all splits; null takes all spans. Patterns
            without `{SPAN}` are not affected.
        allowed_faults: Largest share of a split's examples that may be faulty, such as broken images or text that is
            not UTF-8. Faulty examples are left out and listed in the report.
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
    spans: Positive | None = None
    allowed_faults: BelowOne = 0.0

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """File patterns by their key, those of the training files first: of `files`, or of `files.train` and so on."""
        if isinstance(self.files, Patterns):
            return {f"files.{split}": getattr(self.files, split) for split in SPLITS}
        return {"files": (self.files,) if isinstance(self.files, str) else self.files or ()}

    @property
    def training_patterns(self) -> tuple[str, ...]:
        """Patterns of the training files, or of the files that shares divide."""
        return next(iter(self.patterns.values()))

    def title(self, noun: str) -> str:
        """Returns a title for the data: the data set's name, or `own NOUN` with the patterns of the training files.

        Args:
            noun: Plural noun for the files' content, such as `texts`.
        """
        if self.tfds is not None:
            return self.tfds
        names = self.training_patterns
        return f"own {noun} ({', '.join([*names[:_TITLED], *(['...'] if len(names) > _TITLED else [])])})"

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
        if isinstance(self.files, Patterns) and self.splits is not None:
            received = ", ".join(f"{name}: {value}" for name, value in self.splits.model_dump().items())
            raise ValueError(f"`splits` must be null with `files` of each split. Received: splits={{{received}}}")
        return self

    @pydantic.model_validator(mode="after")
    def _has_its_spans(self) -> Self:
        for key, patterns in self.patterns.items():
            for pattern in patterns:
                if pattern.count(SPAN) > 1:
                    raise ValueError(f"`{key}` must have `{SPAN}` at most once in a pattern. Received: {pattern}")
        if self.spans is not None and self.tfds is not None:
            raise ValueError(f"`spans` must be null with `tfds`. Received: tfds={self.tfds}, spans={self.spans}")
        if self.spans is not None and not any(SPAN in pattern for pattern in self.training_patterns):
            raise ValueError(
                f"`spans` must be null unless a pattern of the training files has `{SPAN}`. Received: "
                f"spans={self.spans}, with the patterns {', '.join(self.training_patterns)}"
            )
        return self
