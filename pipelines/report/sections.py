"""The kinds of sections of a report, as data for both the page and `report.json`.

Every section may have a `heading` and `prose` (paragraphs of plain text) above its content. Texts may contain any
characters: the page escapes them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

Value = str | int | float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A section with only a heading and paragraphs; base class of the other kinds."""

    kind: ClassVar[str] = "prose"
    drawn: ClassVar[str | None] = None
    """Name of the field that report.json omits: pixels or a figure, whose numbers belong in the report's facts."""
    heading: str = ""
    prose: Sequence[str] = ()

    def data(self) -> dict[str, Any]:
        """Returns the content of the section for report.json."""
        fields = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != self.drawn
        }
        return {"kind": self.kind, **fields}


@dataclasses.dataclass(frozen=True)
class Tile:
    """One figure in large type: its `value` as text, a `label` and a `note`, such as a figure to compare it with."""

    value: str
    label: str
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline(Section):
    """The few figures that a reader should see first."""

    kind: ClassVar[str] = "headline"
    tiles: Sequence[Tile]

    def data(self):
        """Returns the content of the section for report.json."""
        return super().data() | {"tiles": [dataclasses.asdict(tile) for tile in self.tiles]}


@dataclasses.dataclass(frozen=True)
class Column:
    """The title of a column and the format specification of its numbers, as for `format`."""

    title: str
    format: str = ""

    def text(self, value: Value) -> str:
        """Returns a cell's formatted text."""
        if value is None:
            return "–"  # noqa: RUF001 (the dash that tables use for nothing)
        return value if isinstance(value, str) else format(value, self.format)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Section):
    """Rows of values; the first column names the row, and `highlight` is the index of the highlighted row."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    highlight: int | None = None

    def __post_init__(self):
        """Checks that the rows match the columns."""
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"`rows` must have {len(self.columns)} values each. Received: rows[{index}]={row}")

    def data(self):
        """Returns the content of the section for report.json."""
        return super().data() | {"columns": [column.title for column in self.columns]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture(Section):
    """A matplotlib figure; `alt` describes it for readers who cannot see it."""

    kind: ClassVar[str] = "picture"
    drawn = "figure"
    figure: Figure
    alt: str
    caption: str = ""

    def __post_init__(self):
        """Checks that the picture has an alternative text."""
        _check_alt(self.alt)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images(Section):
    """Small images in rows and columns, uint8 `[rows, columns, H, W, C]`, shown without smoothing.

    `row_titles` has one title for each row, or is empty; `alt` describes the images for readers who cannot see them.
    """

    kind: ClassVar[str] = "images"
    drawn = "images"
    images: np.ndarray
    alt: str
    row_titles: Sequence[str] = ()
    caption: str = ""

    def __post_init__(self):
        """Checks that the images have an alternative text, and that the titles match the rows."""
        _check_alt(self.alt)
        if len(self.row_titles) not in (0, len(self.images)):
            raise ValueError(
                f"`row_titles` must be none or one for each of {len(self.images)} rows. "
                f"Received: {len(self.row_titles)}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film(Section):
    """An animation, uint8 `[frames,H,W,C]`; `alt` is as in `Images`."""

    kind: ClassVar[str] = "film"
    drawn = "frames"
    frames: np.ndarray
    alt: str
    caption: str = ""

    def __post_init__(self):
        """Checks that the film has an alternative text."""
        _check_alt(self.alt)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A text that a model wrote after `prompt`."""

    label: str
    prompt: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Samples(Section):
    """Unedited texts of the model, in a monospaced font."""

    kind: ClassVar[str] = "samples"
    samples: Sequence[Sample]

    def data(self):
        """Returns the content of the section for report.json."""
        return super().data() | {"samples": [dataclasses.asdict(sample) for sample in self.samples]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surprisal(Section):
    """A text shaded by the surprisal in `nats` of each of its `pieces` (characters or longer) under the model."""

    kind: ClassVar[str] = "surprisal"
    pieces: Sequence[str]
    nats: Sequence[float]

    def __post_init__(self):
        """Checks that there is one value for each piece."""
        if len(self.pieces) != len(self.nats):
            raise ValueError(
                f"`nats` must have one value for each piece, {len(self.pieces)}. Received: {len(self.nats)}"
            )


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording with a name, a text, and the bytes of its WAV file."""

    name: str
    text: str
    wav: bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recordings(Section):
    """Recordings to listen to, each with a player and its text."""

    kind: ClassVar[str] = "recordings"
    recordings: Sequence[Recording]

    def data(self):
        """Returns the content of the section for report.json, without the sound."""
        return super().data() | {"recordings": [{"name": one.name, "text": one.text} for one in self.recordings]}


def _check_alt(alt):
    if not alt.strip():
        raise ValueError(f"`alt` must say what the picture shows. Received: alt={alt!r}")
