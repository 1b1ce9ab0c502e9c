"""Scaled dot-product attention in plain TensorFlow: the meaning of `ikelos.kernels.attention`."""

import tensorflow as tf

from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import attention_plain, attention_streaming
from ikelos.kernels.reference.shapes import assertions, sizes

# Up to so many pairs of a query and a key, B * N * T * S, all logits are made at once. Causal attention of 8 heads of
# 64, forward and backward, on two cores, took at T = S = 2048 0.4 s and 0.4 GB more at its peak, and in blocks of keys
# twice the time and 0.07 GB; at 8192 22 s and 7.0 GB, and in blocks 12 s and 0.3 GB.
PAIRS_AT_ONCE = 8 * 2048 * 2048

# The axes of the arguments that must be those of query and key; of the latter two, or 1.
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
BROADCAST = ("bias", "mask")


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None,
    options: Options,
    with_residual: bool,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """See `ikelos.kernels.attention`; here every argument is checked as far as its shape is known. The residual may be
    None if it is not wanted.

    All keys take part, those beyond `key_value_seq_lengths` with the weight 0, so a short length in a long cache saves
    nothing; the native kernel skips them.
    """
    batch, queries, heads, _ = sizes(query)
    right = {"B": batch, "N": heads, "T": queries, "S": sizes(key)[1]}
    tensors = {"key": key, "value": value, "bias": bias}
    given = {name: (tensors.get(name, getattr(options, name, None)), letters) for name, letters in AXES.items()}
    with tf.control_dependencies(assertions(given, right, BROADCAST)):
        # All that is cut into blocks: a block of a wrong size would fail first, with an error that names nothing.
        query, key, value = (tf.identity(x) for x in (query, key, value))
        bias = None if bias is None else tf.identity(bias)
    if _streams(query.shape[0], query.shape[2], query.shape[1], key.shape[1]):
        return attention_streaming.attend(query, key, value, bias, options)
    return attention_plain.attend(query, key, value, bias, options, with_residual)


def _streams(batch: int | None, heads: int, num_queries: int | None, num_keys: int | None) -> bool:
    """Whether keys are taken block by block: where they are many, and where their number is not known."""
    if num_queries is None or num_keys is None:
        # One block of keys is no less than plain attention.
        return num_keys is None or num_keys > attention_streaming.BLOCK
    pairs = (1 if batch is None else batch) * heads * num_queries * num_keys
    return num_keys > attention_streaming.BLOCK and pairs > PAIRS_AT_ONCE
