"""Attention with all logits `[B,N,T,S]` at once, and its second derivative."""

import tensorflow as tf

from ikelos.kernels import gradients
from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference.attention_pairs import MASKED_LOGIT, Queries, unpack
from ikelos.kernels.reference.shapes import sizes


def attend(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None,
    options: Options,
    with_residual: bool = True,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the output `[B,T,N,E]` and, if `with_residual`, the residual `[B,T,N]`, otherwise None."""
    output_dtype, dtype = query.dtype, arithmetic(query.dtype)
    query, key, value, bias = (None if x is None else tf.cast(x, dtype) for x in (query, key, value, bias))
    num_keys, key_heads = sizes(key)[1:3]
    queries, keys = Queries(query, key_heads, options), tf.range(num_keys)
    logits, allowed = queries.logits(tf.transpose(key, [0, 2, 1, 3]), bias, options.mask, keys)
    if allowed is not None:
        # An addition instead of a select, because the gradient of an addition takes no time.
        logits += tf.where(allowed, tf.zeros([], dtype), tf.constant(MASKED_LOGIT, dtype))
    weights = queries.dropout(tf.nn.softmax(logits), keys)
    attended = queries.ungroup(tf.matmul(queries.group_pairs(weights), tf.transpose(value, [0, 2, 1, 3])))
    output = tf.transpose(attended, [0, 2, 1, 3])
    # Computed only on request, because it takes another pass over all logits.
    residual = tf.transpose(tf.reduce_logsumexp(logits, axis=-1), [0, 2, 1]) if with_residual else None
    # Invalid rows become 0 in the output instead of the weights, which are larger. The gradient is the same.
    valid = []
    if allowed is not None and not (bias is None and _every_query_sees_a_key(options, query.shape[1], key.shape[1])):
        seen = tf.reduce_any(allowed[(None,) * (4 - allowed.shape.rank)], axis=-1)
        valid.append(tf.transpose(seen, [0, 2, 1]))
    if options.query_seq_lengths is not None:
        valid.append(tf.sequence_mask(options.query_seq_lengths, queries.count)[:, :, None])
    for condition in valid:
        output *= tf.cast(condition, dtype)[..., None]
        if residual is not None:
            residual = tf.where(condition, residual, tf.constant(float("-inf"), dtype))
    return tf.cast(output, output_dtype), residual


def second_gradients(inputs, options: Options, output_grads, upstream) -> list[tf.Tensor | None]:
    """Returns the result of `ikelos.kernels.gradients.second_gradients` for attention.

    `inputs` are query, key, value and possibly bias; `output_grads` are the gradients of output and residual.
    """
    return gradients.second_gradients(lambda *inputs: attend(*unpack(inputs), options), inputs, output_grads, upstream)


def _every_query_sees_a_key(options: Options, num_queries: int | None, num_keys: int | None) -> bool:
    """Returns whether it is certain at trace time that no query is masked from every key."""
    if any(x is not None for x in (options.query_offset, options.mask, options.key_value_seq_lengths)):
        return False
    if options.window_left < 0:
        return True
    return num_queries is not None and num_keys is not None and num_queries - 1 - options.window_left < num_keys
