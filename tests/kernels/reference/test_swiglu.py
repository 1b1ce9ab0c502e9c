import numpy as np
import tensorflow as tf

from ikelos.kernels.reference.swiglu import swiglu


def test_the_papers_equation_in_float64():
    gate, up = np.random.default_rng(0).normal(0, 8, (2, 5, 7)), np.random.default_rng(1).normal(size=(2, 5, 7))
    expected = gate / (1 + np.exp(-gate)) * up
    np.testing.assert_allclose(swiglu(tf.constant(gate), tf.constant(up)), expected, rtol=1e-14)


def test_half_precision_is_rounded_once():
    # In float16 alone, the sigmoid of -12 is a subnormal number with 6 bits.
    gate, up = tf.constant([-12.0], tf.float16), tf.constant([4096.0], tf.float16)
    expected = np.float16(-12 / (1 + np.exp(12)) * 4096)
    np.testing.assert_array_equal(swiglu(gate, up), [expected])
