"""What Keras's attention layers on `ikelos.kernels.attention` share."""

import functools

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.layers.attention.padding import lengths_of


def fits(layer, inputs, return_attention_scores, training):
    """Whether the op does what a layer is to do for the query, key and value in `inputs`; otherwise the stock layer's
    own code must."""
    # The op keeps no scores, and cannot drop them all.
    ranks = [len(x.shape) for x in inputs]
    return not return_attention_scores and not (training and layer.dropout >= 1) and ranks == [3, 3, 3]


def attend(
    layer,
    query,
    key,
    value,
    *,
    query_mask,
    value_mask,
    key_mask,
    attention_mask,
    use_causal_mask,
    sliding_window,
    use_gate,
    training,
):
    """The outputs `[B,T,D]` of a layer for `query [B,T,D]`, `key [B,S,D]` and `value [B,S,D]`, by its own projections;
    the other arguments are those of its constructor and its `call`."""
    batch = keras.ops.shape(query)[0]
    query_valid, key_valid = _joined([query_mask]), _joined([key_mask, value_mask])
    mask = _joined([attention_mask])
    if mask is not None and len(mask.shape) == 3:
        mask = mask[:, None]
    if key_valid is not None:
        # The op broadcasts it: alone it stays as small as the keys' mask is.
        mask = _joined([mask, key_valid[:, None, None, :]])
    dropout = {}
    if training and layer.dropout > 0:
        dropout = {"dropout_rate": layer.dropout, "dropout_seed": layer._dropout_layer.seed_generator.next()}
    attended = kernels.attention(
        layer._query_dense(query),
        layer._key_dense(key),
        layer._value_dense(value),
        mask=mask,
        is_causal=use_causal_mask,
        # A mask alone is applied to logits that are there; beyond a length none is computed.
        query_seq_lengths=_lengths(query_valid, batch),
        key_value_seq_lengths=_lengths(key_valid, batch),
        local_window_size=None if sliding_window is None else sliding_window - 1,
        **dropout,
    )
    if query_valid is not None:
        attended = tf.where(query_valid[:, :, None, None], attended, tf.zeros([], attended.dtype))
    if use_gate:
        attended *= layer._gate_dense(query)
    return layer._output_dense(attended)


def _joined(masks):
    """What all masks allow, boolean; None if there is none."""
    masks = [keras.ops.cast(mask, "bool") for mask in masks if mask is not None]
    return functools.reduce(tf.logical_and, masks) if masks else None


def _lengths(valid, batch):
    """int32 `[B]`: how many positions of `valid`, `[B,T]` or `[1,T]`, there are up to the last valid one."""
    return None if valid is None else tf.broadcast_to(lengths_of(valid), [batch])
