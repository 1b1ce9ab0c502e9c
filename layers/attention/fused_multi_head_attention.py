"""`FusedMultiHeadAttention`: Keras's multi-head attention on `ikelos.kernels.attention`."""

import keras

from ikelos.layers.attention import fused
from ikelos.layers.drop_in import drop_in


@drop_in
class FusedMultiHeadAttention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` on `ikelos.kernels.attention`, also in training with dropout
    (Vaswani et al. 2017, section 3.2.2, https://arxiv.org/abs/1706.03762).

    Arguments, weights, weight files, masks and results are those of the stock layer, and each accepts the other's
    config. A query may have no key to attend to, because its mask or the masks of all keys forbid it. As in the stock
    layer, its output is then the mean of all values, padding included, or 0 if the layer has `dropout`. Unlike in the
    stock layer, NaN or infinity at a masked step does not spread to other steps.

    Padding masks, `use_causal_mask`, `sliding_window` and dropout take no memory for pairs of a query and a key. An
    `attention_mask` is passed to the op as it is, or as `[B,1,T,S]` combined with the padding mask of the keys. As in
    the stock layer, the mask of the queries is the Keras mask of `query`, never the argument `query_mask`, and the call
    removes the Keras masks from its inputs.

    The code of the stock layer, which allocates arrays `[B,N,T,S]`, runs for `return_attention_scores=True`, for inputs
    whose rank is not 3, for `attention_axes` other than the time axis, for training with `dropout=1`, and in a subclass
    that overrides an internal method of the stock layer's `call`, such as `_compute_attention`. With
    TensorFlow, that code raises an error for `flash_attention=True`. With `dropout`, the constructor already raises
    one. The op is a flash attention without this option.

    `ikelos.layers.convert` replaces the stock layers of a model by fused ones, and back.

    Input shapes: query `[B,T,D]`, value `[B,S,D]`, key `[B,S,D]`. The three may differ in D.

    Output shape: `[B,T,D]` with the D of the query, or `[B,T,...]` as set by `output_shape`; with
    `return_attention_scores=True` followed by `[B,N,T,S]`.

    Example:

    >>> layer = FusedMultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)
    >>> x = keras.random.normal((2, 5, 8))
    >>> layer(x, x, use_causal_mask=True, training=True).shape
    TensorShape([2, 5, 8])
    """

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        """Attends from `query` to `key` and `value`."""
        inputs = (query, value if key is None else key, value)
        masks = {
            # The stock layer uses the Keras mask of `query` and ignores the argument.
            "query_mask": getattr(query, "_keras_mask", None),
            "value_mask": value_mask,
            "key_mask": key_mask,
            "attention_mask": attention_mask,
            "use_causal_mask": use_causal_mask,
        }
        fits = fused.fits(self, inputs, masks, return_attention_scores, training)
        if not fits or tuple(self.attention_axes) != (1,):
            return super().call(
                query, value, key=key, **masks, return_attention_scores=return_attention_scores, training=training
            )
        for x in inputs:
            # As in the stock layer, a later layer with the same input gets no mask.
            x._keras_mask = None
        return fused.attend(
            self, *inputs, **masks, sliding_window=self._sliding_window, use_gate=self._use_gate, training=training
        )

    def get_config(self):
        """Returns the constructor's arguments; the stock layer leaves out `flash_attention`."""
        return {**super().get_config(), "flash_attention": self._flash_attention}
