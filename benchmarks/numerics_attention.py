"""Attention for `numerics.py`."""

import tensorflow as tf

from ikelos import kernels


class Attention:
    """Attention with some sizes."""

    def __init__(self, batch, queries, keys, heads, key_heads, size):
        self.sizes = batch, queries, keys, heads, key_heads, size
        self.results = [[batch, queries, heads, size]]

    def options(self, draw):
        """Returns the options of each row by its name; arrays are float64 or integers."""
        batch, queries, keys, heads, _, _ = self.sizes
        bias = draw.standard_normal([1, heads, queries, keys])
        return {
            "nothing else": {},
            "causal": {"is_causal": True},
            "window (T/4, 0)": {"local_window_size": (queries // 4, 0)},
            "lengths": {
                "query_seq_lengths": [queries * 3 // 5, queries],
                "key_value_seq_lengths": [keys, keys * 3 // 20],
            },
            "mask, half allowed": {"mask": draw.random([batch, 1, queries, keys]) < 0.5},
            "bias": {"bias": bias},
            "ALiBi slopes": {"alibi_slopes": [0.5, 0.25, 0.125, 0.0625], "is_causal": True},
            "dropout 0.1": {"dropout_rate": 0.1, "dropout_seed": [1, 2]},
            "logits up to 40": {"scale": 1.0},
        }

    def operands(self, draw, **_):
        """Returns query, key and value."""
        batch, queries, keys, heads, key_heads, size = self.sizes
        return [
            draw.standard_normal(shape)
            for shape in ([batch, queries, heads, size], [batch, keys, key_heads, size], [batch, keys, key_heads, size])
        ]

    def run(self, implementation, query, key, value, **given):
        """Runs the op."""
        return [kernels.attention(query, key, value, implementation=implementation, **given)]

    def naive(self, query, key, value, **given):
        """Computes attention in plain TensorFlow, in the dtype of the inputs; returns None for other options."""
        _, queries, keys, heads, key_heads, size = self.sizes
        if not set(given) <= {"is_causal", "bias", "scale"}:
            return None
        key, value = (tf.repeat(x, heads // key_heads, axis=2) for x in (key, value))
        logits = tf.einsum("btnh,bsnh->bnts", query, key) * tf.cast(given.get("scale", size**-0.5), query.dtype)
        if "bias" in given:
            logits += given["bias"]
        if given.get("is_causal"):
            causal = tf.linalg.band_part(tf.ones([queries, keys], tf.bool), -1, 0)
            logits += tf.cast(tf.where(causal, 0.0, -1e9), query.dtype)
        return [tf.einsum("bnts,bsnh->btnh", tf.nn.softmax(logits), value)]
