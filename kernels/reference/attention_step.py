"""Attention of one query per row to the keys of a cache, without transposing the cache."""

import tensorflow as tf

from ikelos.kernels import in_place
from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.reference.attention_pairs import MASKED_LOGIT
from ikelos.kernels.reference.shapes import reshape, sizes


def attend(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor | None, mask: tf.Tensor, scale: float
) -> tf.Tensor:
    """Returns the outputs of the queries, each of which must see a key.

    All key heads of a row are one matrix `[S,K*H]`. Each query is padded with 0 to the width of all key heads and
    multiplied with this matrix. Products for each head would need a transposed cache, and transposing took half of the
    time of a step.

    A single row is multiplied without a batch axis. Microseconds of a layer with 6 heads of size 64, on two cores of a
    Xeon with AMX:

    rows | keys | without a batch axis | products of batches | a sum over `key * query`
    -----|------|----------------------|---------------------|-------------------------
    1    | 160  | 66                   | 240                 | 90
    1    | 1024 | 305                  | 440                 | 760
    2    | 160  | -                    | 270                 | 290
    8    | 160  | -                    | 530                 | 780

    Rows that are unrolled or looped over, each without a batch axis, made a step of 8 rows no faster.

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
    # By gathering, because a product with 0 would spread a NaN of one query to other heads, and a select took four
    # times as long. A NaN among the keys reaches all heads of its row.
    head = tf.range(heads)
    own = head // (heads // key_heads)  # the key head of each head
    query = tf.pad(query[:, 0] * tf.constant(scale, dtype), [[0, 0], [0, 1], [0, 0]])
    part = tf.where(own[:, None] == tf.range(key_heads), head[:, None], heads)  # [N,K]
    queries = reshape(tf.gather(query, part, axis=1), [batch, heads, key_heads * head_size])
    masked = tf.where(mask, tf.zeros([], dtype), tf.constant(MASKED_LOGIT, dtype))[:, None]
    bias = masked if bias is None else bias + masked
    key_size, value_size = key_heads * head_size, key_heads * sizes(value)[3]

    def of_one_row():
        # Not a reshape alone: TensorFlow's optimiser would infer that every batch has one row.
        keys, values = reshape(key[0], [slots, key_size]), reshape(value[0], [slots, value_size])
        return _products(queries[0], keys, values, bias[0])[None]

    def of_all_rows():
        keys, values = tf.reshape(key, [batch, slots, key_size]), tf.reshape(value, [batch, slots, value_size])
        return _products(queries, keys, values, bias)

    if isinstance(batch, int):
        outputs = of_one_row() if batch == 1 else of_all_rows()
    elif not in_place.is_allowed():
        # XLA may compile this graph. It would compile both branches of a condition, of which one fits one row only.
        outputs = of_all_rows()
    else:
        outputs = tf.cond(tf.equal(batch, 1), of_one_row, of_all_rows)
    outputs = tf.gather(reshape(outputs, [batch, heads * key_heads, sizes(value)[3]]), head * key_heads + own, axis=1)
    return tf.cast(outputs[:, None], output_dtype)


def _products(queries, keys, values, bias):
    """Returns the weighted sums `[...,N,K*E]` of `values [...,S,K*E]`, of which each head needs its own part."""
    weights = _softmax(tf.matmul(queries, keys, transpose_b=True) + bias)
    return tf.matmul(weights, values)


def _softmax(logits):
    # Not `tf.nn.softmax`: oneDNN takes 60 us to prepare a call.
    weights = tf.exp(logits - tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True)))
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)
