"""Random calls of the native ops, valid or not, give the right result or an error that describes the fault."""

import re

import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.dispatch import library

LISTS = ("bias", "mask", "query_seq_lengths", "key_value_seq_lengths", "query_offset", "alibi_slopes", "dropout_seed")
INT32_LISTS = ("query_seq_lengths", "key_value_seq_lengths", "query_offset", "dropout_seed")
WINDOW = ("window_left", "window_right")
INT32 = [-(2**31), -1, 2**31 - 1]


def valid_call(generator):
    """Returns inputs by name, those of LISTS as lists, and attributes."""
    batch, queries, keys, group = (int(x) for x in generator.integers(0, [4, 7, 7, 4]))
    # A row of blocks and more now and then.
    queries, keys = (size * int(generator.choice([1, 1, 1, 1, 31])) for size in (queries, keys))
    key_heads, size, value_size = (int(x) for x in generator.integers(1, [4, 10, 10]))
    heads = key_heads * group

    def normal(*shape):
        return generator.normal(size=shape).astype("float32")

    def pairs():
        return [1 if generator.random() < 0.4 else size for size in (batch, heads, queries, keys)]

    bias = normal(*pairs())
    rate = np.float32(generator.uniform(0.01, 0.99))
    arrays = {
        "bias": np.where(generator.random(bias.shape) < 0.2, np.float32("-inf"), bias),
        "mask": generator.random(pairs()) < 0.7,
        "query_seq_lengths": generator.integers(0, queries + 1, batch).astype("int32"),
        "key_value_seq_lengths": generator.integers(0, keys + 1, batch).astype("int32"),
        "query_offset": generator.choice([*range(-9, 10), *INT32], batch).astype("int32"),
        "alibi_slopes": generator.uniform(0, 1, heads).astype("float32"),
        "dropout_seed": generator.choice([5, 77, *INT32], 2).astype("int32"),
    }
    arrays = {name: [array] if generator.random() < 0.4 else [] for name, array in arrays.items()}
    if arrays["alibi_slopes"] and arrays["query_offset"]:
        # Between keys that far away float32 can tell no difference: no right result.
        arrays["query_offset"] = [arrays["query_offset"][0].clip(-9, 9)]
    attributes = {
        "scale": float(np.float32(generator.uniform(-2, 2))),
        "is_causal": bool(generator.integers(2)),
        "window_left": int(generator.choice([-1, -1, 0, 1, 3, 2**31, 2**63 - 1])),
        "window_right": int(generator.choice([-1, -1, 0, 1, 3, 2**31, 2**63 - 1])),
        "dropout_rate": float(rate) if arrays["dropout_seed"] else 0.0,
    }
    query, key = normal(batch, queries, heads, size), normal(batch, keys, key_heads, size)
    return {"query": query, "key": key, "value": normal(batch, keys, key_heads, value_size)} | arrays, attributes


def expected(oracle, inputs, attributes):
    given = {name: inputs[name][0] for name in LISTS if inputs[name]}
    left, right = (2**62 if side < 0 else min(side, 2**62) for side in map(attributes.get, WINDOW))
    options = {name: value for name, value in attributes.items() if name not in WINDOW}
    tensors = (inputs[name] for name in ("query", "key", "value"))
    return oracle(*tensors, **given, **options, local_window_size=(left, right))


def spoiled(inputs, attributes, generator):
    """Returns the inputs and attributes with one change, which is mostly a fault."""
    inputs, attributes = {**inputs}, {**attributes}
    names = [name for name, x in inputs.items() if not isinstance(x, list) or x]
    name = names[generator.integers(len(names))]
    is_list = isinstance(inputs[name], list)
    array = inputs[name][0] if is_list else inputs[name]
    kind = generator.integers(8)
    if kind == 0:
        array = array[..., None] if generator.integers(2) else array.reshape(-1)
    elif kind in (1, 2) and array.ndim:
        axis, size = generator.integers(array.ndim), generator.integers(0, 8)
        array = np.resize(array, [size if i == axis else old for i, old in enumerate(array.shape)])
    elif kind == 3:
        array = np.zeros(array.shape, generator.choice(["float64", "int64", "float16", "bool"]))
    elif kind == 4:
        attributes |= [
            {"scale": float("nan")},
            {"scale": float("inf")},
            {"window_left": -2},
            {"window_right": -(2**63)},
            {"dropout_rate": 1.0},
            {"dropout_rate": -0.5},
            {"dropout_rate": float("nan")},
            {"dropout_rate": 0.5 - 0.5 * (attributes["dropout_rate"] > 0)},
        ][generator.integers(8)]
    elif kind == 5:
        length = ["query_seq_lengths", "key_value_seq_lengths"][generator.integers(2)]
        if inputs[length]:
            lengths = inputs[length][0].copy()
            lengths[generator.integers(0, max(len(lengths), 1)) :] = generator.choice([*INT32, 300])
            return inputs | {length: [lengths]}, attributes
    elif kind == 6 and is_list:
        return inputs | {name: [array, array]}, attributes
    elif kind == 7 and is_list:
        return inputs | {name: []}, attributes
    return inputs | {name: [array] if is_list else array}, attributes


def call(op, inputs, attributes, generator):
    """Runs the op eagerly, or now and then in a graph that learns all shapes as it runs."""
    # An array would be cast to the type that the op takes.
    inputs = tf.nest.map_structure(tf.constant, inputs)
    if generator.random() < 0.95:
        return op(**inputs, **attributes)
    flat = tf.nest.flatten(inputs)

    @tf.function(input_signature=[tf.TensorSpec(None, x.dtype) for x in flat])
    def run(*flat):
        return op(**tf.nest.pack_sequence_as(inputs, flat), **attributes)

    return run(*flat)


def assert_says_what_is_wrong(error, inputs, attributes):
    """Asserts that an error names an argument or, if a type is wrong, is raised by TensorFlow."""
    types = dict.fromkeys(inputs, "float32") | dict.fromkeys(INT32_LISTS, "int32") | {"mask": "bool"}
    if any(x.dtype != types[name] for name, given in inputs.items() for x in tf.nest.flatten(given)):
        assert isinstance(error, (TypeError, tf.errors.InvalidArgumentError)), error
        return
    # A graph raises ValueError where shapes are inferred.
    assert isinstance(error, (ValueError, tf.errors.InvalidArgumentError)), error
    assert re.search(rf"`(num_)?({'|'.join((*inputs, *attributes))})`.* must ", str(error)), error


def fuzz(oracle, seed):
    """Calls each op once, with a fault if the seed is odd; returns whether the calls gave a result."""
    generator = np.random.default_rng(seed)
    inputs, attributes = valid_call(generator)
    outcomes = []
    given, settings = spoiled(inputs, attributes, generator) if seed % 2 else (inputs, attributes)
    try:
        output, residual = call(library().ikelos_attention, given, settings, generator)
    except Exception as error:
        assert_says_what_is_wrong(error, given, settings)
        outcomes.append(False)
    else:
        right = expected(oracle, given, settings)
        oracle.assert_within(output, right.output, right.output_bound)
        oracle.assert_within(residual, right.residual, right.residual_bound)
        outcomes.append(True)

    right = expected(oracle, inputs, attributes)
    for name in ("output", "residual"):
        inputs[name] = getattr(right, name).astype("float32")
        inputs[f"{name}_grad"] = generator.normal(size=inputs[name].shape).astype("float32")
    given, settings = spoiled(inputs, attributes, generator) if seed % 2 else (inputs, attributes)
    try:
        *results, bias_grad = call(library().ikelos_attention_grad, given, settings, generator)
    except Exception as error:
        assert_says_what_is_wrong(error, given, settings)
        outcomes.append(False)
    else:
        # With anything changed the output is not the one that belongs to the inputs: only shapes are known then.
        right = expected(oracle, given, settings)
        gradients, bounds = right.gradients(given["output_grad"], given["residual_grad"])
        for result, gradient, bound in zip([*results, *bias_grad], gradients, bounds, strict=True):
            assert result.shape == gradient.shape
            if seed % 2 == 0:
                oracle.assert_within(result, gradient, bound)
        outcomes.append(True)
    assert seed % 2 or outcomes == [True, True]
    return outcomes


def fuzz_many(oracle, seeds):
    outcomes = np.array([fuzz(oracle, seed) for seed in seeds])
    # Both ops were called with and without faults.
    assert (outcomes.mean(axis=0) > 0.5).all()
    assert (outcomes.mean(axis=0) < 0.9).all()


def test_some_calls(attention_oracle):
    fuzz_many(attention_oracle, range(300))


@pytest.mark.slow
def test_many_calls(attention_oracle):
    fuzz_many(attention_oracle, range(300, 10_300))
