"""`DecoderBlock`: self-attention and a feed-forward network, each behind a normalisation."""

import keras

from ikelos.layers.attention.causal_self_attention import CausalSelfAttention
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.transformer.gated_feed_forward import GatedFeedForward


@keras.saving.register_keras_serializable(package="ikelos")
class DecoderBlock(keras.layers.Layer):
    """Pre-norm block of a decoder-only Transformer (Xiong et al. 2020; the parts as in Touvron et al. 2023).

    Args:
        num_heads: Query heads.
        hidden_size: Width of the feed-forward network.
        num_key_value_heads: Key and value heads; as many as query heads when None.
        window: How many tokens a token sees, itself included; None sees all before it.
        dropout: Share of each branch's outputs that is dropped in training.
        kernel_initializer: Of the projections into a branch.
        output_initializer: Of the projections back onto the residual stream.

    Call arguments:
        inputs: `[B,T,D]`.
        cache, num_valid: As in `CausalSelfAttention`.

    Returns:
        `[B,T,D]`; with `cache`, a pair of it and the longer cache.

    Raises:
        ValueError: As `CausalSelfAttention`, `GatedFeedForward` and `keras.layers.Dropout`.

    Example:

    >>> DecoderBlock(num_heads=2, hidden_size=16)(keras.ops.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        num_heads,
        hidden_size,
        num_key_value_heads=None,
        window=None,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.attention_norm = FusedRMSNormalization(name="attention_norm", dtype=self.dtype_policy)
        self.attention = CausalSelfAttention(
            num_heads,
            num_key_value_heads,
            window,
            kernel_initializer=self.kernel_initializer,
            output_initializer=self.output_initializer,
            name="attention",
            dtype=self.dtype_policy,
        )
        self.feed_forward_norm = FusedRMSNormalization(name="feed_forward_norm", dtype=self.dtype_policy)
        self.feed_forward = GatedFeedForward(
            hidden_size,
            kernel_initializer=self.kernel_initializer,
            output_initializer=self.output_initializer,
            name="feed_forward",
            dtype=self.dtype_policy,
        )
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape):
        """Creates the parts for `[B,T,D]`."""
        for part in (self.attention_norm, self.attention, self.feed_forward_norm, self.feed_forward):
            part.build(input_shape)

    def call(self, inputs, cache=None, num_valid=None, training=None):
        """Maps `inputs [B,T,D]` to the same shape."""
        attended = self.attention(self.attention_norm(inputs), cache=cache, num_valid=num_valid)
        attended, cache = (attended, None) if cache is None else attended
        hidden = inputs + self.dropout(attended, training=training)
        fed = self.feed_forward(self.feed_forward_norm(hidden))
        outputs = hidden + self.dropout(fed, training=training)
        return outputs if cache is None else (outputs, cache)

    def compute_output_shape(self, inputs_shape):
        """The inputs' shape."""
        return inputs_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.attention.num_heads,
            "hidden_size": self.feed_forward.hidden_size,
            "num_key_value_heads": self.attention.num_key_value_heads,
            "window": self.attention.window,
            "dropout": self.dropout.rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
