import numpy as np
import pytest

from ikelos.pipelines.evaluation import kernel_distance


def by_definition(x, y):
    """Returns the unbiased estimate, computed pair by pair."""

    def kernel(a, b):
        return (sum(i * j for i, j in zip(a, b, strict=True)) / len(a) + 1) ** 3

    within = [
        np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j], dtype=np.float64)
        for z in (x, y)
    ]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def normal(seed, number, size, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1, [number, size])


def test_a_subset_agrees_with_the_definition_pair_by_pair():
    x, y = normal(0, 7, 3), normal(1, 5, 3, mean=0.7)
    assert kernel_distance.unbiased(x, y) == pytest.approx(by_definition(x, y), rel=1e-12)


def test_is_the_mean_over_random_subsets():
    x, y = normal(0, 40, 4), normal(1, 60, 4, mean=0.5)
    many = kernel_distance.between(x, y, num_subsets=3000, subset_size=10)
    # The mean of all subsets is the estimate of the whole sets; that of 3,000 is off by what the error says of them.
    spread = many.standard_error / np.sqrt(10 / 30 + 1 / 3000) / np.sqrt(3000)
    assert many.value == pytest.approx(kernel_distance.unbiased(x, y), abs=4 * spread)


def test_two_sets_of_one_distribution_are_at_no_distance():
    found = [
        kernel_distance.between(normal(2 * i, 300, 8), normal(2 * i + 1, 300, 8), num_subsets=20, subset_size=100)
        for i in range(50)
    ]
    values = np.array([estimate.value for estimate in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(50)
    assert (values < 0).any()
    assert (np.abs(values) < 3 * np.array([estimate.standard_error for estimate in found])).all()


def test_the_standard_error_is_that_of_other_samples():
    found = [
        kernel_distance.between(
            normal(2 * i, 200, 8, mean=1), normal(2 * i + 1, 200, 8), num_subsets=20, subset_size=60
        )
        for i in range(100)
    ]
    spread = np.std([estimate.value for estimate in found])
    # A standard deviation of 100 values is itself off by 7%.
    assert np.mean([estimate.standard_error for estimate in found]) == pytest.approx(spread, rel=0.25)


def test_grows_with_the_distance():
    x = normal(0, 400, 8)
    near, far = (kernel_distance.between(x, normal(1, 400, 8, mean=mean), subset_size=200).value for mean in (0.2, 0.6))
    assert 0 < near < far


def test_the_seed_decides_the_subsets():
    x, y = normal(0, 50, 4).astype("float32"), normal(1, 50, 4).astype("float32")
    first, again, other = (
        kernel_distance.between(x, y, num_subsets=5, subset_size=20, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset_size": 50}, r"`subset_size` must be from 2 to 49.*subset_size=50"),
        ({"subset_size": 1}, "subset_size=1"),
        ({"subset_size": 10, "num_subsets": 1}, "num_subsets=1"),
        ({"reference": np.zeros([60, 3])}, r"features.shape=\(50, 4\), reference.shape=\(60, 3\)"),
        ({"features": np.zeros(50)}, r"features.shape=\(50,\)"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    sets = {"features": np.zeros([50, 4]), "reference": np.zeros([60, 4])}
    with pytest.raises(ValueError, match=message):
        kernel_distance.between(**sets | arguments)
