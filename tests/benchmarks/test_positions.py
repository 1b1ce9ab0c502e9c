import dataclasses
import json
import logging

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def _leaves_the_logger_as_it_was(monkeypatch):
    logger = logging.getLogger("tensorflow")
    monkeypatch.setattr(logger, "level", logger.level)


@pytest.mark.slow
def test_order_needs_positions(run_here, load, monkeypatch, tmp_path):
    positions = load("positions")
    accuracies = positions.accuracies

    def of_few_steps(effort, encoding, seeds):
        if encoding in ("none", "relative"):
            return accuracies(effort, encoding, seeds)
        # Of the others nobody is told what they reach, and a graph takes seconds.
        tf.config.run_functions_eagerly(True)
        try:
            return list(accuracies(dataclasses.replace(effort, steps=2), encoding, seeds))
        finally:
            tf.config.run_functions_eagerly(False)

    monkeypatch.setattr(positions, "accuracies", of_few_steps)
    printed = run_here("positions", "--quick", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    found = {}
    for row in rows:
        assert list(row) == ["task", "encoding", "seed", "length", "accuracy", "guess"]
        assert row["guess"] == pytest.approx(1 / (row["length"] - 1))
        found[row["encoding"], row["length"]] = row["accuracy"]
    encodings = ["none", "sinusoidal", "learned", "rotary", "alibi", "relative"]
    assert list(found) == [(encoding, length) for encoding in encodings for length in (8, 16)]
    # Shares of 5120 and 13312 answers: within 6 standard deviations.
    assert found["none", 8] == pytest.approx(1 / 7, abs=0.03)
    assert found["none", 16] == pytest.approx(1 / 15, abs=0.013)
    assert found["relative", 8] > 0.9
    assert f"relative    {100 * found['relative', 8]:.1f}" in printed


TOKENS = np.array([[4, 9, 2, 7, 8, 6]])
TASKS = {
    "shift": ([-1, -1, -1, 0, 1, 2], [5] * 6),
    # Even, odd, even, odd, even, even: the 9 and the 7 are as near to the 2, the 2 and the 8 to the 7, the 4 and the 2
    # to the 9.
    "nearest": ([1, -1, -1, -1, 3, 3], [2, 4, 2, 4, 2, 2]),
    "reverse": ([5, 4, 3, 2, 1, 0], [5] * 6),
}


@pytest.mark.parametrize("task", TASKS)
def test_answers_by_hand(load, task):
    places, candidates = load("positions").TASKS[task](TOKENS)
    assert (places.tolist(), candidates.tolist()) == ([TASKS[task][0]], [TASKS[task][1]])


def test_tokens_of_a_sequence_are_distinct_and_a_function_of_the_seed(load):
    positions = load("positions")
    tokens, answers, weights, guess = positions.draw("nearest", 300, 24, 64, seed=[1, 2])
    again = positions.draw("nearest", 300, 24, 64, seed=[1, 2])
    assert all(np.array_equal(one, other) for one, other in zip((tokens, answers, weights), again[:3], strict=True))
    assert all(len(set(row)) == 24 for row in tokens.tolist())
    assert ((answers % 2 != tokens % 2) | (weights == 0)).all()
    # Of 24 tokens about 12 are of the other kind.
    assert guess == pytest.approx(1 / 12, rel=0.15)
