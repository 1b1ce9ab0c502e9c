import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import by_group

GROUPS = ["a", "b", "", "a", "c"]


def of(places):
    return {"places": places}


def test_groups_apart_do_not_count_in_the_figures_of_all():
    assert by_group.figures(GROUPS, ["b"], of, "pairs") == {
        "places": [0, 2, 3, 4],
        "groups": {"a": {"places": [0, 3]}, "b": {"places": [1]}, "c": {"places": [4]}},
    }
    assert by_group.figures(["", ""], [], of, "pairs") == {"places": [0, 1], "groups": {}}


def test_groups_apart_must_exist():
    with pytest.raises(UserError, match=r"must name groups of the test pairs \(a, b, c\)\. Received: d"):
        by_group.figures(GROUPS, ["b", "d"], of, "pairs")
    with pytest.raises(UserError, match=r"\(there are none\)\. Received: a"):
        by_group.check(["", ""], ["a"], "pairs")


def test_a_group_must_be_left():
    with pytest.raises(
        UserError, match=r"`evaluation\.apart` must leave a group of the test pairs\. Received: a, b, all"
    ):
        by_group.figures(["a", "b", "a"], ["b", "a"], of, "pairs")
