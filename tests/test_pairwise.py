"""The mark `pairwise` of conftest.py."""

import itertools
import pathlib

import pytest


@pytest.fixture
def pairwise(request):
    return request.config.pluginmanager.get_plugin(str(pathlib.Path(__file__).parent / "conftest.py")).pairwise


def pairs(rows):
    return {pair for row in rows for pair in itertools.combinations(row.items(), 2)}


def test_few_rows_have_every_pair(pairwise):
    rows = [dict(zip("abcd", values, strict=True)) for values in itertools.product(range(3), repeat=4)]
    chosen = [rows[place] for place in pairwise(rows)]
    assert pairs(chosen) == pairs(rows)
    # No fewer than 9 could, of 81.
    assert 9 <= len(chosen) <= 15


def test_rows_that_lack_a_value_and_a_single_one(pairwise):
    rows = [{"a": 0, "b": 0}, {"a": 0}, {"a": 1, "c": 1}, {"a": 0, "b": 0}]
    assert sorted(pairwise(rows)) == [0, 1, 2]
    assert sorted(pairwise([{"a": 0}, {"a": 1}, {"a": 0}])) == [0, 1]
    assert pairwise([]) == []


@pytest.mark.pairwise
@pytest.mark.parametrize("third", [{}, {"x": 1}], ids=str)
@pytest.mark.parametrize("second", [None, "b"])
@pytest.mark.parametrize("first", [0, 1])
def test_the_others_are_slow(first, second, third, request):
    cases = [item for item in request.session.items if item.originalname == request.node.originalname]
    fast = [item.callspec.params for item in cases if not item.get_closest_marker("slow")]
    # Where slow tests alone are run, there is none.
    assert len(fast) in (0, 4)
