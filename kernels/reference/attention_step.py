"""Attention of one query per row to the keys of a cache, without transposing the cache."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.reference.attention_pairs import MASKED_LOGIT
from ikelos.kernels.reference.shapes import sizes

# Up to this number of products, B * S * N * H, they are computed one by one. On two cores of a Xeon with AMX, a layer
# of 6 heads of size 64 took 104 us this way for 160 keys and 238 as products of matrices, because oneDNN takes 60 to
# 150 us to prepare a call; for 8 rows it took 746 and 624, for 8 rows of 1024 keys 3.3 and 2.6 ms.
MOST_PRODUCTS = 1 << 18


def attend(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor | None, mask: tf.Tensor, scale: float
) -> tf.Tensor:
    """Returns the outputs of the queries, each of which must see a key.

    Transposing the cache, as products of matrices for each head need it, took half of the time of a step.

    Args:
        query: `[B,1,N,H]`.
        key: `[B,S,K,H]`.
        value: `[B,S,K,E]`.
        bias: `[B,N,S]`, or None.
        mask: Boolean `[B,S]`; False excludes a key.
        scale: Factor of the products of queries and keys.

    Returns:
        `[B,1,N,E]`.
    """
    output_dtype, dtype = query.dtype, arithmetic(query.dtype)
    query, key, value = (tf.cast(x, dtype) for x in (query, key, value))
    batch, _, heads, head_size = sizes(query)
    slots, key_heads = sizes(key)[1:3]
    query = tf.reshape(query * tf.constant(scale, dtype), [batch, key_heads, heads // key_heads, head_size])
    masked = tf.where(mask, tf.zeros([], dtype), tf.constant(MASKED_LOGIT, dtype))[:, None]
    bias = masked if bias is None else bias + masked
    outputs = tf.cond(
        tf.convert_to_tensor(batch * slots * (heads * head_size) <= MOST_PRODUCTS),
        lambda: _by_products(query, key, value, bias),
        lambda: _by_matrices(query, key, value, bias),
    )
    return tf.cast(tf.reshape(outputs, [batch, 1, heads, sizes(value)[3]]), output_dtype)


def _by_products(query, key, value, bias):
    """Returns the outputs `[B,K,G,E]` of queries `[B,K,G,H]`; `bias` is broadcastable to `[B,N,S]`."""
    key_heads, group = query.shape[1:3]
    logits = tf.reduce_sum(key[:, :, :, None] * query[:, None], axis=-1)  # [B,S,K,G]
    bias = tf.transpose(bias, [0, 2, 1])
    bias = bias[..., None] if bias.shape[2] == 1 else tf.reshape(bias, [-1, tf.shape(bias)[1], key_heads, group])
    weights = _softmax(logits + bias, axis=1)
    return tf.reduce_sum(value[:, :, :, None] * weights[..., None], axis=1)


def _by_matrices(query, key, value, bias):
    """Returns the same, with all key heads as one matrix `[S,K*H]`: each query multiplies by 0 but for its own head."""
    batch, key_heads, group, head_size = sizes(query)
    slots, value_size = sizes(key)[1], sizes(value)[3]
    own = tf.eye(key_heads, dtype=tf.bool)[:, None, :, None]  # [K,1,K,1]
    zero = tf.zeros([], query.dtype)
    queries = tf.reshape(tf.where(own, query[:, :, :, None], zero), [batch, key_heads * group, key_heads * head_size])
    logits = tf.matmul(queries, tf.reshape(key, [batch, slots, key_heads * head_size]), transpose_b=True)
    weights = _softmax(logits + bias, axis=-1)
    outputs = tf.matmul(weights, tf.reshape(value, [batch, slots, key_heads * value_size]))
    outputs = tf.reshape(outputs, [batch, key_heads, group, key_heads, value_size])
    return tf.reduce_sum(tf.where(own, outputs, zero), axis=3)


def _softmax(logits, axis):
    # Not `tf.nn.softmax`: oneDNN takes 60 us to prepare a call.
    weights = tf.exp(logits - tf.stop_gradient(tf.reduce_max(logits, axis=axis, keepdims=True)))
    return weights / tf.reduce_sum(weights, axis=axis, keepdims=True)
