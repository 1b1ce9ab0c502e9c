import numpy as np
import pytest
from matplotlib.figure import Figure

from ikelos.pipelines.report.sections import (
    Column,
    Headline,
    Images,
    Picture,
    Recording,
    Recordings,
    Section,
    Surprisal,
    Table,
    Tile,
)


def test_cells_are_written_as_their_column_says():
    assert Column("a", ".2f").text(1.005e3) == "1005.00"
    assert Column("a", ",d").text(1234567) == "1,234,567"
    assert Column("a").text(3) == "3"
    assert Column("a", ".2f").text("over 9") == "over 9"
    assert Column("a", ".2f").text(None) == "–"  # noqa: RUF001


def test_data_hold_what_the_section_says():
    assert Section(heading="h", prose=["p"]).data() == {"kind": "prose", "heading": "h", "prose": ["p"]}
    assert Headline(tiles=[Tile("1", "one")]).data()["tiles"] == [{"value": "1", "label": "one", "note": ""}]
    table = Table(columns=[Column("a", ".1f"), Column("b")], rows=[(1.25, None)])
    assert table.data()["columns"] == ["a", "b"]
    assert table.data()["rows"] == [(1.25, None)]
    picture = Picture(figure=Figure(), alt="a line", caption="c").data()
    assert picture == {"kind": "picture", "heading": "", "prose": (), "alt": "a line", "caption": "c"}


def test_the_sound_of_recordings_is_not_among_the_data():
    section = Recordings(recordings=[Recording("a", "one", b"RIFF")])
    assert section.data()["recordings"] == [{"name": "a", "text": "one"}]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"2 values each.*rows\[1\]=\(3,\)"):
        Table(columns=[Column("a"), Column("b")], rows=[(1, 2), (3,)])
    with pytest.raises(ValueError, match=r"one value for each piece, 3. Received: 2"):
        Surprisal(pieces="abc", nats=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"`alt`.*alt=' '"):
        Picture(figure=Figure(), alt=" ")
    images = np.zeros([2, 1, 3, 3, 1], np.uint8)
    with pytest.raises(ValueError, match=r"`alt`.*alt=''"):
        Images(images=images, alt="")
    with pytest.raises(ValueError, match=r"one for each of 2 rows. Received: 1"):
        Images(images=images, alt="zeros", row_titles=["one"])
