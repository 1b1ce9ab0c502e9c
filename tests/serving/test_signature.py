import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import Signature

TEXT = tf.TensorSpec([None], tf.string)
GOOD = Signature(
    "generate",
    lambda prompt, seed: {"text": prompt},
    {"prompt": TEXT, "seed": tf.TensorSpec([None], tf.int32)},
    {"prompt": ["ROMEO.", "é"], "seed": [1, 2]},
    "Continues a prompt.",
)


def test_example_arrays():
    arrays = GOOD.example_arrays()
    assert arrays["prompt"].tolist() == [b"ROMEO.", "é".encode()]
    assert arrays["seed"].dtype == np.int32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "`name` must be text of letters.*name='a b'"),
        ({"name": ""}, "`name` must be text of letters"),
        ({"function": 3}, "'generate': `function` must be callable. Received: function=3"),
        ({"doc": "two\nlines"}, "`doc` must be one line"),
        ({"doc": " "}, "`doc` must be one line"),
        ({"doc": None}, "`doc` must be one line of text. Received: doc=None"),
        ({"inputs": {}}, "`inputs` must be a dict of at least one tf.TensorSpec by name. Received: inputs={}"),
        (
            {"inputs": [TEXT]},
            "`inputs` must be a dict of at least one tf.TensorSpec by name. Received: inputs=.TensorSpec",
        ),
        ({"inputs": {"class": TEXT}}, "be neither `self` nor a keyword of Python. Received: 'class'"),
        ({"inputs": {"self": TEXT}}, "be neither `self` nor a keyword of Python. Received: 'self'"),
        ({"inputs": {"a-b": TEXT}}, "the name of an input must consist of letters.*Received: 'a-b'"),
        ({"inputs": {"a": "text"}}, "input 'a' must be a tf.TensorSpec of dense tensors. Received: 'text'"),
        ({"inputs": {"a": tf.RaggedTensorSpec([None, None])}}, "input 'a' must be a tf.TensorSpec of dense.*Ragged"),
        ({"inputs": {"a": tf.SparseTensorSpec([None, 2])}}, "input 'a' must be a tf.TensorSpec of dense.*Sparse"),
        ({"inputs": {"a": tf.TensorSpec([None], tf.complex64)}}, "input 'a' must have one of.*complex64"),
        ({"inputs": {"a": tf.TensorSpec([], tf.int32)}}, r"input 'a' must be batch-first.*shape \(\)"),
        ({"inputs": {"a": tf.TensorSpec([2], tf.int32)}}, r"input 'a' must be batch-first.*shape \(2,\)"),
        ({"inputs": {"a": tf.TensorSpec(None, tf.int32)}}, "input 'a' must be batch-first.*unknown"),
        ({"example": [["a"], [1]]}, r"`example` must be a dict of batches by input. Received: example=\[\["),
        ({"example": {"prompt": ["a"]}}, r"`example` must have a value for each of \['prompt', 'seed'\]"),
        ({"example": {"prompt": ["a"], "seed": [0.5]}}, "example of input 'seed' must hold int32"),
        ({"example": {"prompt": ["a"], "seed": [[1]]}}, "example of input 'seed' must have shape"),
        ({"example": {"prompt": ["a"], "seed": [1, 2]}}, "same number of rows.*'prompt': 1, 'seed': 2"),
        ({"example": {"prompt": [], "seed": []}}, "same number of rows for each input, at least one"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GOOD, **change)
