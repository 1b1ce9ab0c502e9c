import numpy as np
import pytest

from ikelos.layers import AlibiBias, EncoderBlock
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    "padding",
    [
        pytest.param({"lengths": np.array([5, 2], "int32")}, marks=pytest.mark.slow),
        {"mask": np.array([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1]], bool)},
    ],
)
def test_keeps_a_layers_promises(padding):
    config = {
        "num_heads": 4,
        "hidden_size": 12,
        "num_key_value_heads": 2,
        "window": 3,
        "dropout": 0.1,
        "normalization": "layer",
        "normalize_first": False,
        "activation": "gelu",
        "position": AlibiBias(4),
        "use_bias": True,
        "kernel_initializer": "he_normal",
        "output_initializer": "he_uniform",
    }
    check_layer(EncoderBlock, config, normal(2, 5, 16), call_kwargs=padding)


def test_all_tokens_see_all_within_the_window():
    x, block = normal(1, 9, 16), EncoderBlock(4, 12, window=3)
    before = block(x).numpy()
    x[:, 4] += 1
    changed = np.abs(block(x).numpy() - before)[0].max(axis=-1) > 0
    np.testing.assert_array_equal(np.flatnonzero(changed), range(2, 7))
