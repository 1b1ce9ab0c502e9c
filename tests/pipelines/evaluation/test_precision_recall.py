import tracemalloc

import numpy as np
import pytest

from ikelos.pipelines.evaluation import precision_recall
from ikelos.pipelines.evaluation.precision_recall import PrecisionRecall


def by_definition(features, others, neighbours):
    """Returns the share of features that lie among the others, computed pair by pair."""
    inside = 0
    for feature in features:
        for place, other in enumerate(others):
            rest = np.delete(others, place, axis=0)
            radius = np.sort(np.linalg.norm(rest - other, axis=1))[neighbours - 1]
            if np.linalg.norm(feature - other) <= radius:
                inside += 1
                break
    return inside / len(features)


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("rows", [1000, 7])
def test_agrees_with_the_definition_pair_by_pair(monkeypatch, neighbours, rows):
    monkeypatch.setattr(precision_recall, "_AT_ONCE", rows)
    generator = np.random.default_rng(0)
    samples, real = generator.normal(0.8, 1, [50, 3]), generator.normal(0, 1, [40, 3])
    found = precision_recall.between(samples, real, neighbours)
    assert found.precision == by_definition(samples, real, neighbours)
    assert found.recall == by_definition(real, samples, neighbours)
    assert 0.2 < found.precision < 1
    assert found.precision != found.recall


def test_distances_are_never_in_memory_together():
    x, y = np.random.default_rng(0).normal(size=[2, 3000, 2])
    tracemalloc.start()
    try:
        precision_recall.between(x, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3000 * 3000 * 8 / 2


def test_copies_have_both():
    real = np.random.default_rng(0).normal(size=[100, 64]).astype("float32")
    assert precision_recall.between(real[::-1], real) == PrecisionRecall(1.0, 1.0)


def test_copies_of_images_that_occur_more_than_k_times_have_both():
    # Their radius is 0, but far from the origin, distances computed by products are not 0.
    real = np.repeat(np.random.default_rng(0).normal(1000, 1, [5, 64]), 4, axis=0)
    samples = np.random.default_rng(1).permutation(real)
    assert precision_recall.between(samples, real) == PrecisionRecall(1.0, 1.0)
    assert precision_recall.between(samples + 1e-3, real) == PrecisionRecall(0.0, 0.0)


def test_what_is_far_away_has_neither():
    x = np.random.default_rng(0).normal(size=[50, 4])
    assert precision_recall.between(x + 100, x) == PrecisionRecall(0.0, 0.0)


def test_one_of_two_modes_is_precise_and_covers_half():
    generator = np.random.default_rng(0)
    modes = np.array([[-10.0] * 4, [10.0] * 4])
    real = modes[np.arange(200) % 2] + generator.normal(size=[200, 4])
    found = precision_recall.between(modes[0] + generator.normal(size=[200, 4]), real)
    assert found.precision > 0.85
    assert 0.4 < found.recall <= 0.5


def test_samples_all_alike_are_precise_and_cover_nothing():
    # The paper's figure 4: truncation to the mean keeps precision and loses recall.
    real = np.random.default_rng(0).normal(size=[200, 4])
    samples = 0.01 * np.random.default_rng(1).normal(size=[200, 4])
    found = precision_recall.between(samples, real)
    assert found.precision == 1
    assert found.recall < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros([3, 2]), np.zeros([9, 2])), r"`neighbours` must be from 1 to 2.*neighbours=3"),
        ((np.zeros([9, 2]), np.zeros([9, 2]), 0), "neighbours=0"),
        ((np.zeros([9, 2]), np.zeros([9, 3])), r"samples.shape=\(9, 2\), real.shape=\(9, 3\)"),
        ((np.zeros(9), np.zeros(9)), r"samples.shape=\(9,\)"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        precision_recall.between(*arguments)
