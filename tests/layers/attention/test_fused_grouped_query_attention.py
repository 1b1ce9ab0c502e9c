import numpy as np
import pytest

from ikelos import kernels
from ikelos.layers import FusedGroupedQueryAttention
from ikelos.layers.testing import check_layer

ARGUMENTS = {
    "head_dim": 4,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    # Only a rate that nothing can be built with goes with flash_attention=True.
    "dropout": -0.1,
    "use_bias": False,
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
    given = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2, "use_gate": use_gate}
    rest = {name: value for name, value in ARGUMENTS.items() if name not in given}
    check_layer(
        FusedGroupedQueryAttention,
        given,
        normal(2, 5, 6),
        config_kwargs=rest | {"use_gate": True},
        call_kwargs={
            "value": normal(2, 7, 6, seed=1),
            "value_mask": np.arange(7) < np.array([[7], [3]]),
            "attention_mask": np.random.default_rng(2).random([2, 5, 7]) < 0.8,
        },
    )


def test_keys_are_not_repeated_for_the_queries_of_a_group(monkeypatch):
    given, op = [], kernels.attention

    def watched(query, key, value, **arguments):
        given.append([x.shape[2] for x in (query, key, value)])
        return op(query, key, value, **arguments)

    monkeypatch.setattr(kernels, "attention", watched)
    FusedGroupedQueryAttention(head_dim=4, num_query_heads=6, num_key_value_heads=2)(normal(2, 5, 8), normal(2, 3, 8))
    assert given == [[6, 2, 2]]
