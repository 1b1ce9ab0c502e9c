import base64
import html.parser
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from ikelos.pipelines import report
from ikelos.pipelines.report.sections import (
    Column,
    Headline,
    Images,
    Picture,
    Recording,
    Recordings,
    Sample,
    Samples,
    Section,
    Surprisal,
    Table,
    Tile,
)

HOSTILE = "\"'><script>alert(1)</script><img src=https://example.org/x onerror=alert(2)> & {{ 7 * 7 }}"
IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5, 1)
VOID = {"meta", "link", "br", "img", "input"}


class Reader(html.parser.HTMLParser):
    """Parser of a page into elements with attributes and texts, which checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def texts(self, tag, **attributes):
        return [
            element["text"]
            for element in self.elements
            if element["tag"] == tag
            and all(element.get(name.rstrip("_")) == value for name, value in attributes.items())
        ]


def figure():
    result = Figure(figsize=(3, 2))
    result.subplots().plot([1, 2])
    return result


def every_kind(text):
    """Returns a section of each kind, with `text` in every place that takes text."""
    shared = {"heading": text, "prose": [text, "second"]}
    return [
        Section(**shared),
        Headline(tiles=[Tile(text, text, text)], **shared),
        Table(
            columns=[Column(text), Column(text, ".2f")],
            rows=[(text, text), ("b", 2.5)],
            highlight=1,
            **shared,
        ),
        Picture(figure=figure(), alt=text, caption=text, **shared),
        Images(images=IMAGES, alt=text, row_titles=[text, "second"], caption=text, **shared),
        Samples(samples=[Sample(text, text, text)], **shared),
        Recordings(recordings=[Recording(text, text, b"RIFF")], **shared),
        Surprisal(pieces=[text, text], nats=[0.1, 5.0], **shared),
    ]


@pytest.fixture
def write(tmp_path):
    def write(title, facts, sections):
        paths = report.write(tmp_path / "run" / "report", title, facts, sections)
        numbers, readable = (paths[name].read_text(encoding="utf-8") for name in ("Report's numbers", "Report"))
        return json.loads(numbers), readable

    return write


def test_says_where_it_wrote_what(tmp_path):
    paths = report.write(tmp_path / "report", "t", {}, [])
    assert paths == {
        "Report": tmp_path / "report" / "report.html",
        "Report's numbers": tmp_path / "report" / "report.json",
    }
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["report.html", "report.json"]
    report.write(tmp_path / "report", "again", {}, [])
    assert "again" in paths["Report"].read_text()


def test_json_gives_back_every_number(write):
    facts = {
        "nats_per_character": 1.4621234567890123,
        "count": np.int64(3),
        "rate": np.float32(0.5),
        "orders": np.array([3.25, 2.5]),
        "missing": None,
        "folder": pathlib.PurePosixPath("a/b"),
        "documents": [{"name": "Ἴκελος", "nats": np.float64(1.5)}],
    }
    data, _ = write("run", facts, [Table(columns=[Column("a", ".1f")], rows=[[np.float64(1.123456789)], [None]])])
    assert data["title"] == "run"
    assert data["facts"] == {
        "nats_per_character": 1.4621234567890123,
        "count": 3,
        "rate": 0.5,
        "orders": [3.25, 2.5],
        "missing": None,
        "folder": "a/b",
        "documents": [{"name": "Ἴκελος", "nats": 1.5}],
    }
    assert data["sections"][0]["rows"] == [[1.123456789], [None]]
    assert list(data) == ["title", "facts", "sections"]


def test_json_holds_every_section(write):
    data, _ = write("run", {}, every_kind("x"))
    kinds = [section["kind"] for section in data["sections"]]
    assert kinds == ["prose", "headline", "table", "picture", "images", "samples", "recordings", "surprisal"]
    assert all(section["heading"] == "x" for section in data["sections"])
    assert data["sections"][7]["nats"] == [0.1, 5.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.array([1.0, np.nan])])
def test_what_is_not_a_number_is_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        report.write(tmp_path / "report", "t", {"a": {"b": value}}, [])
    assert not (tmp_path / "report").exists()


def test_what_json_cannot_say_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"plain values\. Received: set"):
        report.write(tmp_path / "report", "t", {"a": {1}}, [])


def test_page_shows_every_section(write):
    sections = [
        Section(heading="Alpha", prose=["First.", "Second."]),
        Headline(heading="Beta", tiles=[Tile("1.46", "nats", "2.1 bits")]),
        Table(
            heading="Gamma",
            columns=[Column("Play"), Column("Nats", ".2f")],
            rows=[("Macbeth", 1.456), ("Lear", None)],
        ),
        Picture(heading="Delta", figure=figure(), alt="A rising line", caption="It rises."),
        Samples(heading="Epsilon", samples=[Sample("cold", "MACBETH\n", "  Blood\n  will")]),
        Surprisal(heading="Zeta", pieces="To be", nats=[0.1, 0.2, 3.0, 7.25, 0.3]),
    ]
    _, text = write("A title", {"seeds": [1, 2], "machine": {"cores": 2, "cpu": "EPYC"}}, sections)
    found = Reader(text)
    assert found.texts("title") == found.texts("h1") == ["A title"]
    assert found.texts("h2") == ["Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta"]
    assert found.texts("p") == ["First.", "Second."]
    assert found.texts("dt") == ["nats"]
    assert found.texts("dd") == ["1.46", "2.1 bits"]
    assert found.texts("th", scope="row")[:2] == ["Macbeth", "Lear"]
    assert found.texts("td", class_="number") == ["1.46", "–"]  # noqa: RUF001
    (picture,) = [element for element in found.elements if element.get("aria-label") == "A rising line"]
    assert picture["role"] == "img"
    assert "svg" in [element["tag"] for element in found.elements]
    assert found.texts("figcaption") == ["It rises.", "cold"]
    assert found.texts("pre") == ["MACBETH\n  Blood\n  will", "To be"]
    assert found.texts("th", scope="row")[2:] == ["seeds", "machine.cores", "machine.cpu"]
    assert found.texts("td")[-3:] == ["[1, 2]", "2", "EPYC"]


def test_a_thousand_documents_stay_out_of_the_page(write):
    documents = {f"document {index}": {"nats": 1.5, "characters": index} for index in range(1000)}
    facts = {"model": {"nats": 1.5, "documents": documents}, "orders": list(range(60)), "seeds": [1, 2]}
    data, text = write("run", facts, [])
    assert data["facts"] == facts
    found = Reader(text)
    assert found.texts("th", scope="row") == ["model.nats", "model.documents", "orders", "seeds"]
    assert found.texts("td") == ["1.5", "1,000 entries", "60 entries", "[1, 2]"]


def test_names_of_files_need_not_be_utf8(tmp_path):
    name = b"zw\xc3\xb6lf \xff.txt".decode("utf-8", "surrogateescape")
    table = Table(heading="Files", columns=[Column("File")], rows=[[name]])
    paths = report.write(tmp_path, "A run", {name: 1}, [table])
    assert list(json.loads(paths["Report's numbers"].read_text(encoding="utf-8"))["facts"]) == [name]
    assert "zwölf \\udcff.txt" in paths["Report"].read_text(encoding="utf-8")


def test_hostile_text_is_only_text(write):
    data, text = write(HOSTILE, {HOSTILE: HOSTILE}, every_kind(HOSTILE))
    assert data["facts"] == {HOSTILE: HOSTILE}
    found = Reader(text)
    assert {element["tag"] for element in found.elements}.isdisjoint({"script", "iframe", "link", "object"})
    images = [element["src"] for element in found.elements if element["tag"] == "img"]
    assert len(images) == 2
    assert all(re.fullmatch("data:image/png;base64,[A-Za-z0-9+/=]+", image) for image in images)
    assert not [name for element in found.elements for name in element if name.startswith("on")]
    # Every place has the whole text: title, h1, 8 headings, 8 paragraphs, 3 in the tile, 4 in the table, 2 captions, a
    # row's title, 3 in the sample, 2 of the recording, the plain and the marked piece, key and value.
    body = "".join(found.texts("body")) + "".join(found.texts("title"))
    assert body.count(HOSTILE) == 37
    assert [element["aria-label"] for element in found.elements if element.get("role") == "img"] == [HOSTILE] * 2


def test_page_needs_nothing_from_outside(write):
    _, text = write("run", {"a": 1}, every_kind("x"))
    text = re.sub(r'src="data:(image/png|audio/wav);base64,[^"]*"', "", text)
    assert "//" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= set(re.findall(r"url\((#[^)]*)\)", text))
    links = [element.get("href") or element.get("src") for element in Reader(text).elements]
    assert all(link.startswith("#") for link in links if link)
    assert "default-src 'none'" in text


def test_surprising_pieces_are_shaded_underlined_and_say_their_nats(write):
    pieces = ["a", "b", "c", "d", "e", "f", "\n"]
    nats = np.array([0.99, 1.0, 2.0, 4.0, 6.0, 0.5, 3.0])
    _, text = write("run", {}, [Surprisal(pieces=pieces, nats=nats)])
    found = Reader(text)
    marks = [(element["text"], element["class"], element["title"]) for element in found.elements if "title" in element]
    assert marks == [
        ("b", "mark s1", "1.0 nats"),
        ("c", "mark s2", "2.0 nats"),
        ("d", "mark s3", "4.0 nats"),
        ("e", "mark s4", "6.0 nats"),
        ("↵\n", "mark s2", "3.0 nats"),
    ]
    assert found.texts("pre") == ["abcdef↵\n"]
    assert [item[1:] for item in found.texts("li")] == [
        "1 to 2 nats",
        "2 to 4 nats",
        "4 to 6 nats",
        "6 or more nats",
    ]
    rules = dict(re.findall(r"^\.(s\d) \{(.*)\}$", text, flags=re.MULTILINE))
    assert [name for name, rule in rules.items() if "underline" in rule] == ["s3", "s4"]
    assert all(f"var(--shade-{name[1]})" in rule for name, rule in rules.items())


def test_page_has_both_modes_and_a_phones_width(write):
    _, text = write("run", {}, [])
    assert "@media (prefers-color-scheme: dark)" in text
    assert 'name="viewport" content="width=device-width' in text


def test_the_same_run_gives_the_same_bytes(write):
    assert write("run", {"a": 1.5}, every_kind("x")) == write("run", {"a": 1.5}, every_kind("x"))


@pytest.mark.parametrize("titles", [(), ("first", "second")])
def test_images_are_there_pixel_by_pixel(write, titles):
    _, text = write("run", {}, [Images(images=IMAGES, alt="numbers", row_titles=titles)])
    found = Reader(text)
    pictures = [
        tf.io.decode_png(base64.b64decode(element["src"].partition(",")[2])).numpy()
        for element in found.elements
        if element["tag"] == "img"
    ]
    np.testing.assert_array_equal(pictures[0][:4, 14:19], IMAGES[0, 2])
    np.testing.assert_array_equal(pictures[-1][-4:, :5], IMAGES[1, 0])
    assert len(pictures) == max(len(titles), 1)
    assert [title for title in found.texts("span") if title] == list(titles)
