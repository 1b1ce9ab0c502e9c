"""`ProjectedAttention`: the base class of self-attention and cross-attention."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference.shapes import reshape, sizes
from ikelos.layers.projection import projection


class ProjectedAttention(keras.layers.Layer):
    """Base class of attention with projections (Vaswani et al. 2017, section 3.2.2) and grouped heads (Ainslie et al.
    2023).

    The inputs `[B,T,D]` are projected to N query heads of size H = D / N. The memory, which a subclass defines, is
    projected to K key heads and K value heads of size H. The heads' outputs are projected back to `[B,T,D]`.
    """

    def __init__(self, num_heads, num_key_value_heads, use_bias, kernel_initializer, output_initializer, **kwargs):
        super().__init__(**kwargs)
        num_key_value_heads = num_heads if num_key_value_heads is None else num_key_value_heads
        for name, number in {"num_heads": num_heads, "num_key_value_heads": num_key_value_heads}.items():
            if number < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={number}")
        if num_heads % num_key_value_heads:
            raise ValueError(
                "`num_heads` must be a multiple of `num_key_value_heads`. "
                f"Received: num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.num_heads = num_heads
        self.num_key_value_heads = num_key_value_heads
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def _build_projections(self, inputs_shape, memory_shape):
        """Creates the projections for the shapes of inputs, `[B,T,D]`, and of the memory, `[B,S,M]`."""
        if len(memory_shape) != 3:
            raise ValueError(f"`memory` must be of shape [B,S,M]. Received: memory.shape={memory_shape}")
        size = inputs_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"The last axis of `inputs` must be a multiple of `num_heads`={self.num_heads}. "
                f"Received: inputs.shape={inputs_shape}"
            )
        self.head_size = size // self.num_heads
        key_size = self.num_key_value_heads * self.head_size
        self.query = projection(self, "query", inputs_shape, size, self.kernel_initializer, self.use_bias)
        self.key = projection(self, "key", memory_shape, key_size, self.kernel_initializer, self.use_bias)
        self.value = projection(self, "value", memory_shape, key_size, self.kernel_initializer, self.use_bias)
        self.output_projection = projection(self, "output", inputs_shape, size, self.output_initializer, self.use_bias)

    def _heads(self, layer, inputs):
        """Applies a projection to `inputs [B,T,D]` and returns its heads `[B,T,N,H]`."""
        return self._split(layer(inputs))

    def _split(self, projected):
        """Returns the heads `[B,T,N,H]` of the results `[B,T,N*H]` of a projection."""
        batch, steps, units = sizes(projected)
        return reshape(projected, [batch, steps, units // self.head_size, self.head_size])

    def _attend(self, query, key, value, mask=None, **options):
        """Returns the output `[B,T,D]` for `query [B,T,N,H]`, `key` and `value` `[B,S,K,H]` and a mask `[B,S]`."""
        return self._joined(_attention(query, key, value, mask, options))

    def _joined(self, attended):
        """Returns the output `[B,T,D]` for the results `[B,T,N,H]` of all heads."""
        batch, steps = sizes(attended)[:2]
        return self.output_projection(reshape(attended, [batch, steps, self.output_projection.units]))

    def _weights(self, query, key, mask=None, **options):
        """Returns the attention weights `[B,N,T,S]`, the arguments being those of `_attend`."""
        batch, keys, heads, _ = sizes(key)
        # The op does not keep its weights, but with the unit vectors as values they are its output.
        units = tf.broadcast_to(tf.eye(keys, dtype=query.dtype)[:, None], [batch, keys, heads, keys])
        return tf.transpose(_attention(query, key, units, mask, options), [0, 2, 1, 3])

    def _check_built(self, method):
        if not self.built:
            raise ValueError(
                f"`{method}` needs a built layer: build or call it first. Received: layer {self.name!r}, not built"
            )

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }


def _attention(query, key, value, mask, options):
    mask = None if mask is None else mask[:, None, None, :]
    return kernels.attention(query, key, value, mask=mask, **options)
