"""Functions shared by the Keras attention layers that run on `ikelos.kernels.attention`."""

import functools

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.reference.shapes import size_of
from ikelos.layers.attention.padding import lengths_of
from ikelos.layers.drop_in import overrides, own_methods

STOCK = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


def fits(layer, inputs, masks, return_attention_scores, training):
    """Returns whether the op can compute a call of the layer; otherwise the code of the stock layer must run.

    `inputs` are query, key and value. The other arguments are those of the call; `masks` holds its masks by name.
    """
    (stock,) = (stock for stock in STOCK if isinstance(layer, stock))
    of_steps = [masks[name] for name in ("query_mask", "value_mask", "key_mask") if masks[name] is not None]
    # The op keeps no scores, and its dropout rate must be below 1.
    return (
        not return_attention_scores
        and not (training and layer.dropout >= 1)
        and all(len(x.shape) == 3 for x in inputs)
        and all(len(mask.shape) == 2 for mask in of_steps)
        # The op does not call methods such as `_compute_attention`, which Keras lets subclasses override.
        and not overrides(layer, stock, own_methods(stock))
    )


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
    """Returns the outputs `[B,T,D]` of a layer, including its projections, for `query [B,T,D]`, `key [B,S,D]` and
    `value [B,S,D]`; the other arguments are those of its constructor and its `call`."""
    batch = size_of(query, 0)
    query_valid, key_valid = _valid([query_mask], query), _valid([key_mask, value_mask], value)
    query, key, value = _finite(query, query_valid), _finite(key, key_valid), _finite(value, key_valid)
    mask = _logical_and([attention_mask])
    if mask is not None and len(mask.shape) == 3:
        mask = mask[:, None]
    if key_valid is not None:
        # The op broadcasts the mask, so without an `attention_mask` it stays as small as the mask of the keys.
        mask = _logical_and([mask, key_valid[:, None, None, :]])
    dropout = {}
    if training and layer.dropout > 0:
        dropout = {"dropout_rate": layer.dropout, "dropout_seed": layer._dropout_layer.seed_generator.next()}
    values = layer._value_dense(value)
    hides = not (query_valid is None and mask is None and sliding_window is None)
    attended = kernels.attention(
        layer._query_dense(query),
        layer._key_dense(key),
        values,
        mask=mask,
        is_causal=use_causal_mask,
        # The lengths save work: a mask is applied to computed logits, but beyond a length no logits are computed.
        query_seq_lengths=_lengths(query_valid, batch),
        key_value_seq_lengths=_lengths(key_valid, batch),
        local_window_size=None if sliding_window is None else sliding_window - 1,
        return_residual=hides,
        **dropout,
    )
    if hides:
        attended, residual = attended
        without_keys = tf.equal(residual, -float("inf"))
        if query_valid is not None:
            without_keys |= ~query_valid[:, :, None]
        attended = tf.where(without_keys[..., None], _without_keys(layer, values, attended), attended)
    if use_gate:
        attended *= layer._gate_dense(query)
    return layer._output_dense(attended)


def _without_keys(layer, values, attended):
    """Returns the stock layer's result for queries that may attend to no key, broadcastable to the op's result
    `attended [B,T,N,E]`, for `values [B,S,K,E]`."""
    if layer.dropout > 0:
        # With dropout, the stock layer's softmax sets the weights of forbidden pairs to 0.
        return tf.zeros([], attended.dtype)
    # Without dropout, the stock layer's softmax gets the same large negative logit for all forbidden pairs, so all
    # keys, padding included, have the same weight.
    wide = tf.cast(values, arithmetic(values.dtype))
    mean = tf.math.divide_no_nan(tf.reduce_sum(wide, axis=1, keepdims=True), tf.cast(size_of(values, 1), wide.dtype))
    return tf.repeat(tf.cast(mean, attended.dtype), attended.shape[2] // values.shape[2], axis=2)


def _finite(x, valid):
    """Returns `x [B,T,D]` with 0 in place of NaN and infinity at steps that are not `valid`.

    NaN and infinity would spread to all steps, as in the stock layers. Finite values stay, because the mean in
    `_without_keys` includes them. `valid` is `[B,T]`, `[1,T]`, or None if all steps are valid.
    """
    return x if valid is None else tf.where(valid[..., None] | tf.math.is_finite(x), x, tf.zeros([], x.dtype))


def _valid(masks, x):
    """Returns the steps of `x [B,T,D]` that no mask excludes, boolean `[B,T]` or `[1,T]`; None without masks."""
    valid = _logical_and(masks)
    if valid is None or valid.shape[1] == x.shape[1] is not None:
        return valid
    # As in the stock layers, a mask may have a single step, which then applies to all.
    return tf.broadcast_to(valid, [size_of(valid, 0), size_of(x, 1)])


def _logical_and(masks):
    """Returns the logical and of all masks that are not None; None if there are none."""
    masks = [keras.ops.cast(mask, "bool") for mask in masks if mask is not None]
    return functools.reduce(tf.logical_and, masks) if masks else None


def _lengths(valid, batch):
    """Returns the number of positions of `valid [B,T]` up to the last True, int32 `[B]`; None if `valid` is None.

    `valid` may also be `[1,T]`.
    """
    return None if valid is None else tf.broadcast_to(lengths_of(valid), [batch])
