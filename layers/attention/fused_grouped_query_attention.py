"""`FusedGroupedQueryAttention`: Keras's grouped-query attention on `ikelos.kernels.attention`."""

import keras

from ikelos.layers.attention import fused
from ikelos.layers.drop_in import drop_in


@drop_in
class FusedGroupedQueryAttention(keras.layers.GroupQueryAttention):
    """`keras.layers.GroupQueryAttention` on `ikelos.kernels.attention`, also in training with dropout
    (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).

    Arguments, weights, weight files, masks and results are those of the stock layer, and each accepts the other's
    config. A query may have no key to attend to, because its mask or the masks of all keys forbid it. As in the stock
    layer, its output is then the mean of all values, padding included, or 0 if the layer has `dropout`. Unlike in the
    stock layer, NaN or infinity at a masked step does not spread to other steps.

    The keys and values of a group are not repeated for its queries. Padding masks, `use_causal_mask`, `sliding_window`
    and dropout take no memory for pairs of a query and a key. An `attention_mask` is passed to the op as it is, or as
    `[B,1,T,S]` combined with the padding mask of the keys.

    The code of the stock layer, which allocates arrays `[B,N,T,S]`, runs for `return_attention_scores=True`, for
    training with `dropout=1`, and in a subclass that overrides an internal method of the stock layer's `call`, such as
    `_compute_attention`. With TensorFlow, that code raises an error for `flash_attention=True`. With
    `dropout`, the constructor already raises one. The op is a flash attention without this option.

    `ikelos.layers.convert` replaces the stock layers of a model by fused ones, and back.

    Input shapes: query `[B,T,D]`, value `[B,S,D]`, key `[B,S,D]`.

    Output shape: `[B,T,D]`; with `return_attention_scores=True` followed by `[B,N,T,S]`.

    Example:

    >>> layer = FusedGroupedQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2, dropout=0.1)
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
            "query_mask": query_mask,
            "value_mask": value_mask,
            "key_mask": key_mask,
            "attention_mask": attention_mask,
            "use_causal_mask": use_causal_mask,
        }
        if not fused.fits(self, inputs, masks, return_attention_scores, training):
            return super().call(
                query, value, key=key, **masks, return_attention_scores=return_attention_scores, training=training
            )
        return fused.attend(
            self, *inputs, **masks, sliding_window=self.sliding_window, use_gate=self.use_gate, training=training
        )

    def get_config(self):
        """Returns the constructor's arguments; the stock layer leaves out `flash_attention`."""
        return {**super().get_config(), "flash_attention": self._flash_attention}
