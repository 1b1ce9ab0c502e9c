"""Log-likelihood of texts in the graph, with the windows of `ikelos.pipelines.text.windows.strided`."""

import keras
import tensorflow as tf

from ikelos.layers.decoding.rows import longest_of
from ikelos.pipelines.text.vocabulary.special import BEGIN, PAD, UNKNOWN

_WINDOWS_AT_ONCE = 32
"""Limits the logits to `32 x T x V` numbers, however long a text is."""


def log_likelihood(
    model: keras.Model, tokens: tf.RaggedTensor, context: int, stride: int, unknown_cost: float
) -> tf.Tensor:
    """Returns the log-likelihood of each row of tokens given the begin-of-text token, in nats.

    A row's first window counts its first T tokens; each later window counts the next `stride` tokens, at its end.

    Args:
        model: Model from int32 `[B,T]` to logits `[B,T,V]`.
        tokens: int32 `[B,(n)]`.
        context: Tokens in a window, T.
        stride: Tokens counted by each later window, at most T.
        unknown_cost: Nats added for each unknown token, the cost of naming the character that it stands for.

    Returns:
        float32 `[B]`; 0 for an empty row.
    """
    lengths = tf.cast(tokens.row_lengths(), tf.int32)
    beyond = tf.maximum(lengths - context, 0)
    windows = tf.where(lengths > 0, 1 + (beyond + stride - 1) // stride, 0)
    row = tf.repeat(tf.range(tf.shape(lengths)[0]), windows)
    order = tf.range(tf.size(row)) - tf.gather(tf.cumsum(windows, exclusive=True), row)
    length = tf.gather(lengths, row)
    # A window counts the tokens `[new, end)`; it begins T tokens before its end, or at the row's beginning.
    end = tf.minimum(context + order * stride, length)
    new = tf.where(order == 0, 0, context + (order - 1) * stride)
    # As wide as the longest text, so that a short one costs little.
    width = tf.minimum(context, longest_of(lengths))
    at = tf.maximum(end - context, 0)[:, None] + tf.range(width)
    filled = at < end[:, None]
    flat = tf.gather(tf.cast(tokens.row_starts(), tf.int32), row)[:, None] + at
    y = tf.where(filled, tf.gather(tokens.values, tf.where(filled, flat, 0)), PAD)
    x = tf.concat([tf.fill([tf.size(row), 1], BEGIN), y[:, :-1]], axis=1)
    counted = filled & (at >= new[:, None])

    def add(first, totals):
        here = slice(first, first + _WINDOWS_AT_ONCE)
        logits = tf.cast(model(x[here], training=False), tf.float32)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(y[here], logits)
        nll += unknown_cost * tf.cast(y[here] == UNKNOWN, tf.float32)
        cost = tf.reduce_sum(tf.where(counted[here], nll, 0.0), axis=1)
        return first + _WINDOWS_AT_ONCE, totals - tf.math.unsorted_segment_sum(cost, row[here], tf.size(lengths))

    _, totals = tf.while_loop(
        lambda first, _: first < tf.size(row),
        add,
        (0, tf.zeros_like(lengths, tf.float32)),
        parallel_iterations=1,
    )
    return totals
