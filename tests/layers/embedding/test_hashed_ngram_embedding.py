import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import HashedNgramEmbedding
from ikelos.layers.testing import check_layer

TOKENS = np.random.default_rng(0).integers(0, 50, [3, 9]).astype("int32")


def test_keeps_the_contract_of_keras():
    check_layer(
        HashedNgramEmbedding,
        {"num_buckets": 17, "size": 6, "orders": (1, 3), "embeddings_initializer": "ones"},
        TOKENS,
    )


def test_looks_up_the_buckets_that_the_formula_names():
    layer = HashedNgramEmbedding(num_buckets=101, size=6, orders=(4, 1, 2))
    got = layer(TOKENS).numpy()
    table = layer.embeddings.numpy()
    padded = np.pad(TOKENS, [[0, 0], [3, 0]])
    for row in range(3):
        for t in range(9):
            parts = []
            for place, order in enumerate((4, 1, 2)):
                code = sum((int(padded[row, 3 + t - i]) + 1) * 1_000_000_007**i for i in range(order))
                parts.append(table[place * 101 + code % (2**31 - 1) % 101])
            np.testing.assert_array_equal(got[row, t], np.concatenate(parts))


@pytest.mark.parametrize("context", [3, 4, 6])
def test_a_text_in_pieces_is_the_text(context):
    layer = HashedNgramEmbedding(num_buckets=101, size=6, orders=(2, 4))
    whole = layer(TOKENS)
    np.testing.assert_array_equal(layer(TOKENS[:, 6:], previous=TOKENS[:, 6 - context : 6]), whole[:, 6:])


def test_buckets_are_used_evenly():
    layer = HashedNgramEmbedding(num_buckets=64, size=1, orders=(3,))
    layer.build((None, None))
    layer.embeddings.assign(np.arange(64.0)[:, None])
    grams = np.stack(np.meshgrid(*[np.arange(20)] * 3), -1).reshape(-1, 3)
    counts = np.bincount(layer(tf.constant(grams, tf.int32)).numpy()[:, -1, 0].astype(int), minlength=64)
    # 8000 n-grams in 64 buckets: chi-square with 63 degrees of freedom, 120 has a probability of 2e-5.
    assert ((counts - 125) ** 2 / 125).sum() < 120


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_buckets": 0, "size": 4, "orders": (2,)}, "num_buckets=0"),
        ({"num_buckets": 8, "size": 6, "orders": (2, 3, 4, 5)}, "size=6"),
        ({"num_buckets": 8, "size": 4, "orders": ()}, r"orders=\(\)"),
    ],
)
def test_names_a_bad_argument(arguments, says):
    with pytest.raises(ValueError, match=says):
        HashedNgramEmbedding(**arguments)


def test_mixed_precision_casts_the_rows_and_not_the_table():
    layer = HashedNgramEmbedding(num_buckets=101, size=6, orders=(2, 4), dtype="mixed_bfloat16")
    layer.build((None, None))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, None], tf.int32)).graph
    functions = [graph, *(graph._get_function(name).graph for name in graph._functions)]
    casts = [op for g in functions for op in g.get_operations() if op.type == "Cast" and op.inputs[0].dtype.is_floating]
    assert [op.outputs[0].dtype for op in casts] == [tf.bfloat16]
    assert casts[0].inputs[0].shape.as_list() == [None, None, 2, 3]
    assert layer(TOKENS).dtype == tf.bfloat16
