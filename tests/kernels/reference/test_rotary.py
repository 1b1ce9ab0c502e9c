import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels


def test_float64_against_matrices():
    x, positions = np.random.default_rng(0).normal(size=(2, 5, 3, 8)), np.arange(5) + np.array([[0], [40]])
    frequencies = np.array([1.0, 0.3, 0.1, 0.03])
    y = kernels.rotary(tf.constant(x), positions, frequencies, magnitude=1.25, implementation="reference")
    for b, t, i in np.ndindex(2, 5, 4):
        angle = positions[b, t] * frequencies[i]
        matrix = 1.25 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(y.numpy()[b, t, :, [i, i + 4]], matrix @ x[b, t, :, [i, i + 4]], rtol=1e-12)


@pytest.mark.parametrize("known", [0, 1])
def test_one_position_is_not_taken_for_all_steps_of_either(known):
    # The graph knows the steps of one of the two arrays only.
    signature = [tf.TensorSpec([1, 3 if known == i else None, 1, 2]) for i in (0, 1)]
    traced = tf.function(
        lambda query, key, positions: kernels.rotary([query, key], positions, [1.0], implementation="reference"),
        input_signature=[*signature, tf.TensorSpec([None], tf.int32)],
    )
    x = tf.ones([1, 3, 1, 2])
    assert traced(x, x, tf.range(3))[0].shape == x.shape
    # Either the assertion or the reshape after it, whichever runs first.
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`positions` must be of shape|requested shape has 3"):
        traced(x, x, tf.range(1))
