import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import PairwiseDiversity


def diversity(*batches):
    metric = PairwiseDiversity()
    for real, fake in batches:
        metric.update_state(real, fake)
    return float(metric.result())


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=[6, 5, 4, 3]).astype("float32")


def test_collapsed_is_0_and_the_data_itself_1(images):
    # Values with no exact mean, far from 0: what rounding would spoil.
    collapsed = np.repeat(1e3 + images[:1] / 3, 6, axis=0)
    assert diversity((images, collapsed)) == 0
    assert diversity((images, images)) == 1
    assert diversity((images, images[::-1])) == pytest.approx(1, rel=1e-6)
    assert diversity((images, images[::-1] / 4 - 7)) == pytest.approx(0.25, rel=1e-4)


def test_two_modes_of_eight():
    # Of points on a line at 0 to 7, with 4 samples at either end: pairs differ by 7 in 32 of 56, real ones by 3 in
    # the mean, for the mean distance of two of n equally spaced points is (n + 1) / 3.
    real = np.arange(8.0)[:, None]
    fake = np.repeat([0.0, 7.0], 4)[:, None]
    assert diversity((real, fake)) == pytest.approx(7 * 32 / 56 / 3, rel=1e-6)


def test_is_the_ratio_of_sums_over_all_pairs_and_batches(images):
    rng = np.random.default_rng(1)
    batches = [(images, rng.normal(size=images.shape)), (images[:2] * 3, rng.normal(size=[2, 5, 4, 3]))]
    totals = np.zeros(2)
    for batch in batches:
        for i, samples in enumerate(batch):
            rows = samples.reshape(len(samples), -1).astype("float64")
            totals[i] += np.linalg.norm(rows[:, None] - rows, axis=-1).sum()
    assert diversity(*batches) == pytest.approx(totals[1] / totals[0], rel=1e-5)


def test_without_pairs_there_is_none(images):
    assert np.isnan(diversity((images[:1], images[:1])))
    assert np.isnan(diversity((np.ones([3, 2]), np.random.default_rng(0).normal(size=[3, 2]))))
    # Nor does a batch of one change that of others.
    assert diversity((images, images), (images[:1], images[:1])) == 1


def test_other_shapes_are_refused(images):
    with pytest.raises(
        ValueError, match=r"`fake` must have the shape of `real`, \(6, 5, 4, 3\). Received: .*\(5, 5, 4, 3\)"
    ):
        diversity((images, images[:5]))
    with pytest.raises(ValueError, match=r"`real` must have the shape \[B,...\]. Received: real.shape=\(\)"):
        diversity((1.0, 2.0))


def test_under_xla_in_half_precision_and_reset(images):
    metric = PairwiseDiversity()
    update = tf.function(metric.update_state, jit_compile=True)
    update(tf.cast(images, tf.bfloat16), tf.cast(np.zeros_like(images), tf.bfloat16))
    assert float(metric.result()) == 0
    metric.reset_state()
    update(tf.cast(images, tf.bfloat16), tf.cast(images, tf.bfloat16))
    assert float(metric.result()) == 1
