import numpy as np
import pytest

from ikelos.layers import FusedMultiHeadAttention
from ikelos.layers.testing import check_layer

ARGUMENTS = {
    "num_heads": 2,
    "key_dim": 4,
    "value_dim": 3,
    # Only a rate that nothing can be built with goes with flash_attention=True.
    "dropout": -0.1,
    "use_bias": False,
    "output_shape": [7],
    "attention_axes": [1],
    "sliding_window": 2,
    "flash_attention": True,
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l1",
    "bias_regularizer": "l1",
    "activity_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "bias_constraint": "non_neg",
    "use_gate": True,
    "seed": 3,
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("use_gate", [False, True])
def test_keeps_a_layers_promises(use_gate):
    given = {"num_heads": 2, "key_dim": 4, "use_gate": use_gate, "output_shape": [7]}
    rest = {name: value for name, value in ARGUMENTS.items() if name not in given}
    check_layer(
        FusedMultiHeadAttention,
        given,
        normal(2, 5, 6),
        config_kwargs=rest | {"use_gate": True},
        call_kwargs={
            "value": normal(2, 7, 4, seed=1),
            "value_mask": np.arange(7) < np.array([[7], [3]]),
            "attention_mask": np.random.default_rng(2).random([2, 5, 7]) < 0.8,
        },
    )
