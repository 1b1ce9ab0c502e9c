"""`CausalSelfAttention`: rotary self-attention of a decoder, with a cache for decoding."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.layers.attention.kv_cache import KVCache
from ikelos.layers.position.rotary_embedding import RotaryEmbedding
from ikelos.layers.projection import projection


@keras.saving.register_keras_serializable(package="ikelos")
class CausalSelfAttention(keras.layers.Layer):
    """Self-attention to the past (Vaswani et al. 2017) with rotary positions (Su et al. 2021) and grouped
    heads.

    Args:
        num_heads: Query heads, N.
        num_key_value_heads: Key and value heads, K; N when None.
        window: A token sees itself and at most `window - 1` tokens before it; None sees all.
        max_wavelength: Of the rotary positions.
        kernel_initializer: Of the query, key and value projections.
        output_initializer: Of the output projection.

    Call arguments:
        inputs: `[B,T,D]`, D an even multiple of N.
        cache: `KVCache` of the positions before, from `empty_cache` or an earlier call; None starts at
            position 0 and returns no cache.
        num_valid: int32 `[B]`, with `cache`: how many of the T inputs are real, all when None. Padding stands
            at the end; its outputs mean nothing, and the next call overwrites what it left in the cache.

    Returns:
        `[B,T,D]`; with `cache`, a pair of it and the longer cache.

    Raises:
        ValueError: If a number is below 1, K does not divide N, or D is not an even multiple of N.

    Example:

    >>> layer = CausalSelfAttention(num_heads=2)
    >>> x = keras.random.normal((1, 5, 8))
    >>> whole = layer(x)
    >>> first, cache = layer(x[:, :3], cache=layer.empty_cache(1, capacity=5))
    >>> rest, cache = layer(x[:, 3:], cache=cache)
    >>> bool(abs(keras.ops.concatenate([first, rest], axis=1) - whole).numpy().max() < 1e-5)
    True
    """

    def __init__(
        self,
        num_heads,
        num_key_value_heads=None,
        window=None,
        max_wavelength=10000.0,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        num_key_value_heads = num_heads if num_key_value_heads is None else num_key_value_heads
        numbers = {"num_heads": num_heads, "num_key_value_heads": num_key_value_heads, "window": window}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={number}")
        if num_heads % num_key_value_heads:
            raise ValueError(
                "`num_heads` must be a multiple of `num_key_value_heads`. "
                f"Received: num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.num_heads = num_heads
        self.num_key_value_heads = num_key_value_heads
        self.window = window
        self.max_wavelength = max_wavelength
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape):
        """Creates the projections for `[B,T,D]`."""
        size = input_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"The last axis of `inputs` must be a multiple of `num_heads`={self.num_heads}. "
                f"Received: inputs.shape={input_shape}"
            )
        self.head_size = size // self.num_heads
        if self.head_size % 2:
            raise ValueError(
                f"The last axis of `inputs` must be an even multiple of `num_heads`={self.num_heads}: rotary "
                f"positions turn pairs of features. Received: inputs.shape={input_shape}"
            )

        key_size = self.num_key_value_heads * self.head_size
        self.query = projection(self, "query", input_shape, size, self.kernel_initializer)
        self.key = projection(self, "key", input_shape, key_size, self.kernel_initializer)
        self.value = projection(self, "value", input_shape, key_size, self.kernel_initializer)
        self.output_projection = projection(self, "output", input_shape, size, self.output_initializer)
        self.rotary = RotaryEmbedding(self.max_wavelength, name="rotary", dtype=self.dtype_policy)

    def call(self, inputs, cache=None, num_valid=None):
        """Attends from `inputs [B,T,D]` to itself and to what the cache holds."""
        batch, steps, size = keras.ops.shape(inputs)

        def heads(layer, count):
            return tf.reshape(layer(inputs), [batch, steps, count, self.head_size])

        positions = tf.range(steps) if cache is None else cache.positions(steps)
        query = self.rotary(heads(self.query, self.num_heads), positions)
        key = self.rotary(heads(self.key, self.num_key_value_heads), positions)
        value = heads(self.value, self.num_key_value_heads)
        offset = 0
        if cache is not None:
            # Causality also hides the cache's room beyond its length.
            offset, cache = cache.length, cache.append(key, value, num_valid)
            key, value = cache.key, cache.value
        # A window as long as all keys forbids nothing.
        forbids = self.window is not None and (key.shape[1] is None or key.shape[1] > self.window)
        attended = kernels.attention(
            query,
            key,
            value,
            is_causal=True,
            query_offset=offset,
            local_window_size=(self.window - 1, 0) if forbids else None,
        )
        outputs = self.output_projection(tf.reshape(attended, [batch, steps, size]))
        return outputs if cache is None else (outputs, cache)

    def empty_cache(self, batch_size, capacity):
        """A `KVCache` that fits this layer.

        Raises:
            ValueError: If the layer is not built: its head size is not known.
        """
        if not self.built:
            raise ValueError(
                f"`empty_cache` needs a built layer: build or call it first. Received: layer {self.name!r}, not built"
            )
        return KVCache.empty(
            batch_size, capacity, self.num_key_value_heads, self.head_size, tf.as_dtype(self.compute_dtype)
        )

    def compute_output_shape(self, inputs_shape):
        """The inputs' shape."""
        return inputs_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "window": self.window,
            "max_wavelength": self.max_wavelength,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
