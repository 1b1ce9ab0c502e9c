import re
from pathlib import Path

import pytest

from ikelos.pipelines.phases import Description

SPLIT = {
    "examples": 12_345,
    "bytes": 2_500_000_000,
    "skipped": {"broken": 2, "odd": 1},
    "faults": ["a[b] is broken"],
    "empty": 4,
    "sha256": "0" * 64,
    "lengths": {"tokens": {"min": 1, "median": 7.5, "max": 1234, "sum": 98_765}},
    "classes": {"cat": 1000, "dog[s]": 0},
}


@pytest.fixture
def described(runner):
    """Makes the runner return a description of two splits, with changes."""

    def describe(**changes):
        found = {"folder": Path("cache/data/some"), "texts": [], "picture": None, "batch_seconds": 0.00123}
        runner.outcome = Description(**found | {"splits": {"train": SPLIT, "test": SPLIT}} | changes)

    return describe


def test_a_recipe_and_its_overrides_are_described(ikelos_command, toy, runner, described):
    described()
    result = ikelos_command("data", "toy", "--set", "training.steps=3")
    assert (result.status, result.err) == (0, "")
    [(name, loaded)] = runner.calls
    assert (name, loaded.name, loaded.config.training.steps) == ("describe", "toy", 3)


def test_splits_classes_and_faults_are_shown(ikelos_command, toy, described):
    described()
    lines = ikelos_command("data", "toy").out.splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[:8]] == [
        ["train", "test"],
        ["examples", "12,345", "12,345"],
        ["size", "2,500.0 MB", "2,500.0 MB"],
        ["tokens: total", "98,765", "98,765"],
        ["tokens: shortest", "1", "1"],
        ["tokens: median", "8", "8"],
        ["tokens: longest", "1,234", "1,234"],
        ["left out", "7", "7"],
    ]
    text = "\n".join(line.rstrip() for line in lines)
    assert "\nClasses (train, validation, test)\n  cat     1,000, 1,000\n  dog[s]  0, 0\n" in text
    numbers = "  train  2 broken, 1 odd, 4 empty\n  test   2 broken, 1 odd, 4 empty\n"
    assert f"\nLeft out\n{numbers}  a[b] is broken\n  a[b] is broken\n" in text
    assert "\nPrepared\n  Folder         cache/data/some\n  A batch takes  1.23 ms" in text
    assert "The first" not in text


def test_what_there_is_not_is_not_shown(ikelos_command, toy, described):
    plain = SPLIT | {"lengths": {}, "classes": {}, "skipped": {}, "faults": [], "empty": 0}
    described(splits={"train": plain})
    text = ikelos_command("data", "toy").out
    assert not any(title in text for title in ("Classes", "Left out", "The first", "tokens"))


def test_the_first_texts_and_images_are_shown(ikelos_command, toy, described):
    described(texts=["x" * 300, "a\nb [red]"], picture=Path("cache/examples.png"))
    text = "\n".join(line.rstrip() for line in ikelos_command("data", "toy").out.splitlines())
    assert f"\nThe first texts\n  '{'x' * 200}'\n  'a\\nb [red]'\n" in text
    assert "  The first images  cache/examples.png\n" in text


def test_a_bad_recipe_is_one_line(ikelos_command, toy, runner):
    result = ikelos_command("data", "toyy")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "Error: a recipe must be one of toy, toy_fast, or the path of a YAML file. "
        "Received: 'toyy' (did you mean toy?)\n"
    )
    assert runner.calls == []
