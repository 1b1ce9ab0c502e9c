import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ikelos.pipelines.report import charts, svg
from ikelos.pipelines.report.palette import COLOURS, LIGHT

HOSTILE = '--><script>alert("1")</script>'


@pytest.fixture
def figure():
    with charts.style():
        figure = Figure(figsize=(4, 3))
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3, 1, 2], label=HOSTILE)
        axes.set_title(HOSTILE)
        axes.legend()
    return figure


def test_is_one_well_formed_element_that_asks_for_nothing(figure):
    text = str(svg.inline(figure, "f1"))
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert root.get("viewBox") == "0 0 288 216"
    assert root.get("aria-hidden") == "true"
    assert "http" not in text
    assert "metadata" not in text


def test_text_in_the_figure_cannot_break_out(figure):
    text = str(svg.inline(figure, "f1"))
    assert "script" not in text
    assert "alert" not in text


def test_colours_follow_the_page(figure):
    text = str(svg.inline(figure, "f1"))
    assert "var(--ours)" in text
    assert "var(--ink)" in text
    assert "var(--line)" in text
    assert not set(LIGHT.values()) & set(re.findall("#[0-9a-f]{6}", text))
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= set(COLOURS)


def test_colours_of_the_figures_own_are_kept():
    figure = Figure()
    figure.subplots().plot([0, 1], color="#123456")
    assert "#123456" in svg.inline(figure, "f1")


def test_ids_are_the_figures_own_and_all_found(figure):
    one, two = str(svg.inline(figure, "f1")), str(svg.inline(figure, "f2"))
    ids = [set(re.findall(r'\bid="([^"]*)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, known in zip((one, two), ids, strict=True):
        used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text))
        assert used
        assert {a or b for a, b in used} <= known


def test_pictures_in_the_figure_are_embedded():
    figure = Figure()
    figure.subplots().imshow(np.arange(12).reshape(3, 4))
    text = str(svg.inline(figure, "f1"))
    assert re.search(r'href="data:image/png;base64,', text)
    ElementTree.fromstring(text)


def test_the_same_figure_gives_the_same_text(figure):
    assert svg.inline(figure, "f1") == svg.inline(figure, "f1")
