import numpy as np
import pytest

from ikelos.pipelines.evaluation import frechet_distance


def rotation(generator, size):
    return np.linalg.qr(generator.normal(size=[size, size]))[0]


def test_covariances_with_the_same_axes_have_a_closed_form():
    generator = np.random.default_rng(0)
    axes, ours, theirs = rotation(generator, 6), generator.uniform(0, 3, 6), generator.uniform(0, 3, 6)
    mean, other = generator.normal(size=[2, 6])
    found = frechet_distance.of_normals(mean, axes * ours @ axes.T, other, axes * theirs @ axes.T)
    expected = np.sum((mean - other) ** 2) + np.sum((np.sqrt(ours) - np.sqrt(theirs)) ** 2)
    assert found == pytest.approx(expected, rel=1e-12)


def test_agrees_with_the_eigenvalues_of_the_product():
    generator = np.random.default_rng(1)
    factors = generator.normal(size=[2, 9, 5])
    ours, theirs = (factor.T @ factor for factor in factors)
    root = np.sqrt(np.linalg.eigvals(ours @ theirs)).sum()  # which are real, though the product is not symmetric
    expected = np.trace(ours) + np.trace(theirs) - 2 * root
    assert frechet_distance.of_normals(np.zeros(5), ours, np.zeros(5), theirs) == pytest.approx(expected, rel=1e-10)


def test_one_value_by_hand():
    # Means 1 and 4, variances 1 and 4.
    assert frechet_distance.between(np.array([[0.0], [1], [2]]), np.array([[2.0], [4], [6]])) == pytest.approx(9 + 1)


def test_is_symmetric_and_of_a_set_with_itself_zero():
    x, y = np.random.default_rng(0).normal(size=[2, 50, 7]) * [[[1]], [[2]]]
    assert frechet_distance.between(x, y) == pytest.approx(frechet_distance.between(y, x), rel=1e-12)
    assert 0 <= frechet_distance.between(x, x) < 1e-10


def test_fewer_samples_than_features_do():
    # Singular covariances of orthogonal spaces with 3 and 4 of 40 dimensions; the means differ too.
    generator = np.random.default_rng(0)
    axes = rotation(generator, 40)
    x, y = generator.normal(size=[30, 3]) @ axes[:3], generator.normal(size=[30, 4]) @ axes[3:7]
    apart = np.sum((x.mean(0) - y.mean(0)) ** 2)
    assert frechet_distance.between(x, y) == pytest.approx(apart + x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum())
    x, y = generator.normal(size=[2, 5, 40]).astype("float32")
    assert 0 < frechet_distance.between(x, y) < np.inf


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 3), (5, 3)], r"N of at least 2. Received: shape=\(1, 3\)"),
        ([(5, 3), (0, 3)], r"Received: shape=\(0, 3\)"),
        ([(5, 3), (5, 4)], r"features.shape=\(5, 3\), reference.shape=\(5, 4\)"),
        ([(5,), (5,)], r"Received: shape=\(5,\)"),
    ],
)
def test_errors_name_the_shapes(shapes, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance.between(*map(np.ones, shapes))
