"""`EncoderBlock`: self-attention over all tokens and a feed-forward network."""

import keras

from ikelos.layers.transformer.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="ikelos")
class EncoderBlock(TransformerBlock):
    """Block of a Transformer encoder (Vaswani et al. 2017, section 3.1), pre-norm by default (Xiong et al. 2020).

    A stack of pre-norm blocks should be followed by one more normalisation.

    Args:
        num_heads: Number of query heads.
        hidden_size: Width of the feed-forward network.
        num_key_value_heads: Number of key and value heads; `num_heads` if None.
        window: Limit of the distance: a token attends to itself and to at most `window - 1` tokens on either side. With
            None it attends to all tokens.
        dropout: Share of each branch's outputs that is dropped in training.
        normalization: `"rms"` or `"layer"`.
        normalize_first: Whether each branch normalises its inputs; otherwise the residual stream is normalised after
            each branch.
        activation: Activation of the feed-forward network: `"swiglu"`, or one of `keras.activations`, without a gate.
        position: `"rotary"`, None, or a layer `RotaryEmbedding`, `AlibiBias` or `RelativePositionBias`, which the
            blocks of a stack may share.
        use_bias: Whether projections add a bias.
        kernel_initializer: Initializer of the projections into a branch.
        output_initializer: Initializer of the projections back onto the residual stream.

    Call arguments:
        inputs: `[B,T,D]`.
        lengths: As in `SelfAttention`. Outputs at padding are undefined.
        mask: As in `SelfAttention`.

    Output shape: `[B,T,D]`.

    Raises:
        ValueError: If `normalization` is unknown, or an argument is invalid for `SelfAttention`, `FeedForward` or
            `keras.layers.Dropout`.

    Example:

    >>> EncoderBlock(num_heads=2, hidden_size=16)(keras.ops.ones((2, 5, 8)), lengths=keras.ops.array([5, 3])).shape
    TensorShape([2, 5, 8])
    """

    def build(self, input_shape):
        """Creates the weights for inputs `[B,T,D]`."""
        for part in (self.attention_norm, self.attention, self.feed_forward_norm, self.feed_forward):
            part.build(input_shape)

    def call(self, inputs, lengths=None, mask=None, training=None):
        """Maps `inputs [B,T,D]` to the same shape."""
        inputs, padding = self._without_padding(inputs, lengths, mask)
        attended = self.attention(self._enter(self.attention_norm, inputs), **padding)
        return self._feed(self._leave(self.attention_norm, inputs, attended, training), training)
