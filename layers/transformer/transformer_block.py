"""`TransformerBlock`: the base class of encoder and decoder blocks."""

import keras

from ikelos.layers.attention.padding import padding, without_padding
from ikelos.layers.attention.self_attention import SelfAttention
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.transformer.feed_forward import FeedForward

NORMALIZATIONS = {"rms": FusedRMSNormalization, "layer": keras.layers.LayerNormalization}


class TransformerBlock(keras.layers.Layer):
    """Base class of blocks with two branches of the residual stream: self-attention and a feed-forward network.

    `EncoderBlock` describes the arguments.
    """

    is_causal = False

    def __init__(
        self,
        num_heads,
        hidden_size,
        num_key_value_heads=None,
        window=None,
        dropout=0.0,
        normalization="rms",
        normalize_first=True,
        activation="swiglu",
        position="rotary",
        use_bias=False,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"`normalization` must be 'rms' or 'layer'. Received: normalization={normalization!r}")
        self.normalization = normalization
        self.normalize_first = normalize_first
        # Arguments that the layers of a block share.
        self._shared = {
            "use_bias": use_bias,
            "kernel_initializer": keras.initializers.get(kernel_initializer),
            "output_initializer": keras.initializers.get(output_initializer),
            "dtype": self.dtype_policy,
        }
        self.attention_norm = self._norm("attention_norm")
        self.attention = SelfAttention(
            num_heads,
            num_key_value_heads,
            is_causal=self.is_causal,
            window=window,
            position=position,
            name="attention",
            **self._shared,
        )
        self.feed_forward_norm = self._norm("feed_forward_norm")
        self.feed_forward = FeedForward(hidden_size, activation, name="feed_forward", **self._shared)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def _norm(self, name):
        return NORMALIZATIONS[self.normalization](epsilon=1e-6, name=name, dtype=self.dtype_policy)

    def _without_padding(self, inputs, lengths, mask):
        """Returns `inputs [B,T,D]` with 0 at padding, and the padding as arguments of `SelfAttention`."""
        lengths, mask = padding(inputs, lengths, mask)
        padding_arguments = {"lengths": lengths} if mask is None else {"mask": mask}
        return without_padding(inputs, lengths, mask), padding_arguments

    def _enter(self, norm, stream):
        """Returns the inputs of a branch for the residual stream `[B,T,D]`."""
        return norm(stream) if self.normalize_first else stream

    def _leave(self, norm, stream, branch, training):
        """Adds a branch's outputs to the residual stream, both `[B,T,D]`, and returns the stream."""
        stream = stream + self.dropout(branch, training=training)
        return stream if self.normalize_first else norm(stream)

    def _feed(self, stream, training):
        fed = self.feed_forward(self._enter(self.feed_forward_norm, stream))
        return self._leave(self.feed_forward_norm, stream, fed, training)

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        attention, network = self.attention.get_config(), self.feed_forward.get_config()
        of_attention = ("num_heads", "num_key_value_heads", "window", "position")
        of_both = ("use_bias", "kernel_initializer", "output_initializer")
        return {
            **super().get_config(),
            **{name: attention[name] for name in of_attention + of_both},
            **{name: network[name] for name in ("hidden_size", "activation")},
            "dropout": self.dropout.rate,
            "normalization": self.normalization,
            "normalize_first": self.normalize_first,
        }
