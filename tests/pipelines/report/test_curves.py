import numpy as np

from ikelos.pipelines.report.curves import Curves, draw


def test_a_name_has_one_colour_and_one_entry_in_the_legend():
    first = Curves("first", {"a": [(1, 1.0), (10, 2.0)], "b": [(1, 3.0)]}, level=("chance", 0.5))
    second = Curves("second", {"b": [(1, 0.0), (2, 1e-9), (100, 1.0)]}, "log")
    figure = draw([first, second], "length", "log", columns=2)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "chance"]
    left, right = figure.axes[:2]
    assert left.lines[1].get_color() == right.lines[0].get_color() != left.lines[0].get_color()
    # A logarithmic scale has no zero.
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1e-9, 1.0])


def test_nine_curves_have_different_looks():
    figure = draw([Curves("many", {str(index): [(0, index), (1, index)] for index in range(9)})], "x")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9
