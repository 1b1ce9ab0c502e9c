"""Drawing a token from logits."""

import numpy as np
import tensorflow as tf


def sample(logits, uniforms, temperature, top_k, top_p, allowed=None):
    """Draws one token a row by inverting the cumulative distribution.

    Everything is given row by row, and a row's token depends on its own row alone.

    Args:
        logits: float32 `[B,V]`, of which each row has a finite one that is allowed.
        uniforms: float32 `[B]` in [0, 1): the randomness.
        temperature: float32 `[B]`, at least 0; 0 takes the likeliest token.
        top_k: int32 `[B]`: only the k likeliest tokens (Fan et al. 2018); 0 takes all.
        top_p: float32 `[B]` in (0, 1]: only the likeliest tokens that together reach this probability
            (Holtzman et al. 2020); 1 takes all.
        allowed: bool `[V]` or `[B,V]`: tokens that may be drawn; all when None.

    Returns:
        int32 `[B]`.
    """
    if allowed is not None:
        logits = tf.where(allowed, logits, float("-inf"))
    vocabulary_size = tf.shape(logits)[-1]
    ordered, tokens = tf.math.top_k(logits, vocabulary_size)
    # A temperature of 0 is the limit of sampling: the likeliest token alone. So is one too small to divide
    # by.
    greedy = temperature < np.finfo(np.float32).tiny
    # The largest becomes 0 before the division, which could make it infinite.
    ordered = (ordered - ordered[:, :1]) / tf.where(greedy, 1.0, temperature)[:, None]
    probabilities = tf.nn.softmax(ordered)
    rank = tf.range(vocabulary_size)[None, :]
    limit = tf.where(greedy, 1, tf.where(top_k > 0, top_k, vocabulary_size))
    probabilities = tf.where(rank < limit[:, None], probabilities, 0.0)
    # top-p is of what top-k left, as in the usual order of these filters. Nothing is before the first token,
    # which so always stays.
    probabilities /= tf.reduce_sum(probabilities, axis=-1, keepdims=True)
    before = tf.cumsum(probabilities, axis=-1, exclusive=True)
    probabilities = tf.where(before < top_p[:, None], probabilities, 0.0)
    reached = tf.cumsum(probabilities, axis=-1)
    target = uniforms[:, None] * reached[:, -1:]
    # The first rank whose cumulative probability passes the target; never one that was filtered out, although
    # a parallel sum need not be monotone.
    drawn = tf.argmax(tf.cast((reached > target) & (probabilities > 0.0), tf.int32), axis=-1, output_type=tf.int32)
    return tf.gather(tokens, drawn, batch_dims=1)


def row_uniforms(seeds, count):
    """Uniform numbers in [0, 1) for each row, a function of that row's seed alone.

    XLA draws other numbers than TensorFlow's own kernels.

    Args:
        seeds: int64 `[B]`.
        count: How many. The first ones are the same whatever it is.

    Returns:
        float32 `[B,count]`.
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.float32),
    )
