"""What must work after `pip install ikelos` and nothing more; run by `check.py` in such an environment."""

import importlib.metadata
import importlib.util
import sys

import keras
import numpy as np
import tensorflow as tf

import ikelos
from ikelos import kernels, layers
from ikelos.layers import DecoderBlock, FusedRMSNormalization

version = sys.argv[1].split("-")[1]
assert ikelos.__version__ == importlib.metadata.version("ikelos") == version, ikelos.__version__
assert tf.__version__.rsplit(".", 1)[0] == version.rsplit(".", 1)[0], tf.__version__

status = kernels.status()
print(status)
assert status["loaded"], status
assert status["path"].startswith(sys.prefix), status

query, key, value = (tf.random.stateless_normal([2, length, 4, 32], [0, length]) for length in (9, 17, 17))
scale = tf.linspace(0.5, 1.5, 32)


def calls(implementation):
    return (
        kernels.attention(query, key, value, is_causal=True, query_offset=8, implementation=implementation),
        kernels.rms_norm(query, scale, implementation=implementation),
    )


expected = calls("reference")
for function in (calls, tf.function(calls, jit_compile=True)):
    for result, reference in zip(function("native"), expected, strict=True):
        np.testing.assert_allclose(result, reference, rtol=1e-5, atol=1e-5)

tokens = keras.Input((None,), dtype="int32")
hidden = DecoderBlock(num_heads=2, hidden_size=24)(keras.layers.Embedding(50, 16)(tokens))
model = keras.Model(tokens, keras.layers.Dense(50)(FusedRMSNormalization()(hidden)))
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
loss = model.train_on_batch(np.ones([2, 8], np.int32), np.ones([2, 8], np.int32))
assert np.isfinite(loss), loss

# Distributions alone need more, and say so.
assert importlib.util.find_spec("tensorflow_probability") is None
message = ""
try:
    layers.Normal(2)
except ImportError as error:
    message = str(error)
assert "pip install '.[probability]'" in message, message
