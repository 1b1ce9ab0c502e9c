import itertools
import re

import pytest

from ikelos.pipelines.report.palette import COLOURS, LIGHT, SHADES, css


def luminance(colour):
    """Returns the relative luminance of a colour as WCAG 2.2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_can_be_read_on_everything_behind_it(mode):
    for text in ("ink", "muted", "ours"):
        for behind in ("page", "panel"):
            assert contrast(COLOURS[text][mode], COLOURS[behind][mode]) >= 4.5, (text, behind)
    for shade in SHADES:
        assert contrast(COLOURS["ink"][mode], shade[mode]) >= 4.5, shade


@pytest.mark.parametrize("mode", [0, 1])
def test_lines_stand_out_from_the_page(mode):
    for name in ("ours", "other", "third"):
        assert contrast(COLOURS[name][mode], COLOURS["page"][mode]) >= 3.0, name


@pytest.mark.parametrize("mode", [0, 1])
def test_shades_grow_with_surprise(mode):
    steps = [contrast(shade[mode], COLOURS["panel"][mode]) for shade in SHADES]
    assert steps == sorted(steps)
    assert all(later / earlier > 1.12 for earlier, later in itertools.pairwise(steps))


def test_colours_of_a_picture_can_be_recognised():
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for pair in (*COLOURS.values(), *SHADES) for colour in pair)


def test_css_declares_every_colour_of_its_mode():
    assert f"--ink: {COLOURS['ink'][0]};" in css(0)
    assert f"--ink: {COLOURS['ink'][1]};" in css(1)
    assert css(1).count("--") == len(COLOURS) + len(SHADES)
