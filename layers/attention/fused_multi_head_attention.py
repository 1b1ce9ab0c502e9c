"""`FusedMultiHeadAttention`: Keras's multi-head attention on `ikelos.kernels.attention`."""

import keras

from ikelos.layers.attention import fused
from ikelos.layers.drop_in import drop_in


@drop_in
class FusedMultiHeadAttention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` on `ikelos.kernels.attention`, in training with dropout too.

    After Vaswani et al. 2017, section 3.2.2, https://arxiv.org/abs/1706.03762.

    Arguments, weights, weight files, masks and results are those of the stock layer, and each takes the other's
    config. A query that may attend to no key, because its own mask or those of all keys forbid it, gets what it gets
    there: the mean of all values, those of padding too, and 0 if the layer has `dropout`. NaN or infinity at a masked
    step reaches no other step, which in the stock layer it does.

    Padding masks, `use_causal_mask`, `sliding_window` and dropout take no memory for pairs of a query and a key. An
    `attention_mask` goes to the op as it is given, or joined with the padding mask of the keys, then `[B,1,T,S]`. As in
    the stock layer, the mask of the queries is the one that `query` carries, never the argument `query_mask`, and the
    masks that the inputs carry are taken off them.

    What the op does not do runs the stock layer's own code, which makes arrays `[B,N,T,S]`:
    `return_attention_scores=True`, inputs of another rank than three, `attention_axes` other than the axis of time, and
    dropout of everything. There `flash_attention=True` is an error with TensorFlow, as in the stock layer, and so it is
    with `dropout`; the op is such an algorithm without being told.

    So does a subclass that overrides a method of which the stock layer's `call` is made, such as `_compute_attention`.

    `ikelos.layers.convert` makes all stock layers of a model such ones, and back.

    Input shapes: query `[B,T,D]`, value `[B,S,D]`, key `[B,S,D]`, whose D may differ. Output shape: `[B,T,D]`, the D
    of the query, or `[B,T,...]` by `output_shape`; with `return_attention_scores=True` followed by `[B,N,T,S]`.

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
            # The stock layer takes this one, never the argument.
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
            # A layer that takes the same tensor after this one must find what the stock layer would have left.
            x._keras_mask = None
        return fused.attend(
            self, *inputs, **masks, sliding_window=self._sliding_window, use_gate=self._use_gate, training=training
        )

    def get_config(self):
        """The constructor's arguments; the stock layer leaves out `flash_attention`."""
        return {**super().get_config(), "flash_attention": self._flash_attention}
