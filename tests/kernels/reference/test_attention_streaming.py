"""That streaming makes no tensor of all pairs; its numbers are tested in tests/kernels/test_attention.py."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference import attention as reference
from ikelos.kernels.reference import attention_streaming

OPTIONS = {
    "is_causal": True,
    "alibi_slopes": [0.5, 0.25],
    "dropout_rate": 0.5,
    "dropout_seed": [1, 2],
    "key_value_seq_lengths": [700],
}


def step(query, key, bias):
    with tf.GradientTape() as tape:
        tape.watch([query, key, bias])
        outputs = kernels.attention(query, key, key, bias, **OPTIONS, return_residual=True, implementation="reference")
    return *outputs, *tape.gradient(outputs, [query, key, bias])


def largest_tensor(concrete):
    graphs = [concrete.graph, *concrete.graph._functions.values()]
    graphs = [graph.graph if hasattr(graph, "graph") else graph for graph in graphs]
    shapes = [x.shape for graph in graphs for op in graph.get_operations() for x in op.outputs]
    return max(shape.num_elements() for shape in shapes if shape.is_fully_defined())


def test_no_tensor_of_all_pairs(monkeypatch):
    queries, keys, heads = 640, 700, 2
    specs = [tf.TensorSpec(shape) for shape in ((1, queries, heads, 8), (1, keys, 1, 8), (1, heads, 1, keys))]
    pairs = heads * queries * keys
    assert largest_tensor(tf.function(step).get_concrete_function(*specs)) == pairs
    monkeypatch.setattr(reference, "MOST_LOGITS_AT_ONCE", pairs - 1)
    largest = largest_tensor(tf.function(step).get_concrete_function(*specs))
    assert largest == pairs * attention_streaming.BLOCK // keys


@pytest.mark.parametrize(
    ("batch", "queries", "keys", "blocks"),
    [
        (1, 2048, 2048, False),
        (1, 2049, 2048, True),
        (4, 1024, 1024, False),
        (5, 1024, 1024, True),
        (None, 2048, 2048, False),
        (None, 2049, 2048, True),
        # All logits of few keys are no more than those of a block.
        (1, 2**20, 256, False),
        (1, 2**20, 257, True),
        # One query, as in decoding.
        (1, 1, 2**22, False),
        (1, None, 256, False),
        (1, None, 257, True),
        (1, 1, None, True),
    ],
)
def test_many_or_unknown_keys_are_processed_in_blocks(batch, queries, keys, blocks):
    assert reference._needs_blocks(batch, 8, queries, keys) == blocks


def test_an_unknown_number_of_queries_takes_many_keys_in_blocks():
    graph = tf.function(step).get_concrete_function(
        tf.TensorSpec([1, None, 2, 8]), tf.TensorSpec([1, 700, 1, 8]), tf.TensorSpec([1, 2, 1, 700])
    )
    query, key, bias = (tf.ones(shape) for shape in ((1, 5, 2, 8), (1, 700, 1, 8), (1, 2, 1, 700)))
    assert any("While" in op.type for op in graph.graph.get_operations())
    for ours, theirs in zip(graph(query, key, bias), step(query, key, bias), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


def test_blocks_change_roundings_only(monkeypatch):
    rng = np.random.default_rng(3)
    inputs = [
        tf.constant(rng.normal(size=shape), tf.float32) for shape in ((1, 5, 2, 8), (1, 700, 1, 8), (1, 2, 1, 700))
    ]
    whole = step(*inputs)
    monkeypatch.setattr(reference, "MOST_LOGITS_AT_ONCE", 0)
    for ours, theirs in zip(step(*inputs), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


PEAK = """
import resource, sys
import tensorflow as tf
from ikelos import kernels

def step(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = kernels.attention(x, x, x, is_causal=True, implementation="reference")
    return tape.gradient(y, x)

if sys.argv[1] != "eager":
    step = tf.function(step, jit_compile=sys.argv[1] == "compiled")
step(tf.ones([1, 300, 2, 8]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(tf.ones([1, 8192, 2, 8]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "traced", "compiled"])
def test_peak_memory(mode):
    result = subprocess.run([sys.executable, "-c", PEAK, mode], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    # All logits are 512 MiB in one copy, those of a block 16 MiB, of which ten may be about.
    assert int(result.stdout) / 1024 < 256
