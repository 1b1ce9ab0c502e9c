"""Scaled dot-product attention in plain TensorFlow: the definition of `ikelos.kernels.attention`."""

import tensorflow as tf

from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import attention_plain, attention_streaming
from ikelos.kernels.reference.shapes import assertions, size_of, sizes

# Up to this number of logits, B * N * T * S, all are computed at once; for more, the keys are processed in blocks. For
# causal attention of 8 heads of size 64, forward and backward on two cores, at T = S = 2048 all at once took 0.4 s and
# a peak of 0.4 GB, blocks twice the time and 0.07 GB; at 8192 all at once took 22 s and 7.0 GB, blocks 12 s and 0.3 GB.
MOST_LOGITS_AT_ONCE = 8 * 2048 * 2048

# The axes of each argument whose sizes must match those of query and key; for bias and mask a size may also be 1.
AXES = {
    "key": "B",
    "value": "BS",
    "query_seq_lengths": "B",
    "key_value_seq_lengths": "B",
    "query_offset": "B",
    "alibi_slopes": "N",
    "bias": "BNTS",
    "mask": "BNTS",
}
BROADCASTABLE = ("bias", "mask")


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None,
    options: Options,
    with_residual: bool,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Computes `ikelos.kernels.attention`, which has checked all sizes that are known at trace time.

    Keys beyond `key_value_seq_lengths` are computed too, with weight 0, so a short length in a long cache saves no
    time; the native kernel skips these keys. Without `with_residual` the residual may be None.
    """
    batch, queries, heads, _ = sizes(query)
    axis_sizes = {"B": batch, "N": heads, "T": queries, "S": size_of(key, 1)}
    tensors = {"key": key, "value": value, "bias": bias}
    arguments = {name: (tensors.get(name, getattr(options, name, None)), letters) for name, letters in AXES.items()}
    with tf.control_dependencies(assertions(arguments, axis_sizes, BROADCASTABLE)):
        # Tensors that are cut into blocks must wait for the assertions. Otherwise a block of a wrong size would raise
        # an error first, which would not name the argument.
        query, key, value = (tf.identity(x) for x in (query, key, value))
        bias = None if bias is None else tf.identity(bias)
    if _needs_blocks(query.shape[0], query.shape[2], query.shape[1], key.shape[1]):
        return attention_streaming.attend(query, key, value, bias, options)
    return attention_plain.attend(query, key, value, bias, options, with_residual)


def _needs_blocks(batch: int | None, heads: int, num_queries: int | None, num_keys: int | None) -> bool:
    """Returns whether to process the keys in blocks: if there are many pairs, or the number of keys is unknown."""
    if num_queries is None or num_keys is None:
        # A single block would save no memory.
        return num_keys is None or num_keys > attention_streaming.BLOCK
    num_logits = (1 if batch is None else batch) * heads * num_queries * num_keys
    return num_keys > attention_streaming.BLOCK and num_logits > MOST_LOGITS_AT_ONCE
