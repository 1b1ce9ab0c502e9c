"""Choosing a token from logits: the likeliest, or by chance."""

import numpy as np
import tensorflow as tf

from ikelos.layers.decoding.rows import column


def greedy(logits, step, written):
    """The likeliest token of each row, int32 `[B]`; the first of equals. Takes no randomness.

    Args:
        logits: float32 `[B,V]`.
        step: Not used; as in every function that chooses for `generate`.
        written: Not used.

    Example:

    >>> import tensorflow as tf
    >>> greedy(tf.constant([[0.0, 2.0, 1.0]]), 0, tf.zeros([1, 4], tf.int32)).numpy()
    array([1], dtype=int32)
    """
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def sampling(uniforms, temperature=1.0, top_k=0, top_p=1.0):
    """A function that draws a row's next token, for `generate` or at the end of a `chain`.

    Args:
        uniforms: float32 `[B,L]` in [0, 1): a column for each step, as from `row_uniforms`.
        temperature: As in `sample`.
        top_k: As in `sample`.
        top_p: As in `sample`.

    Returns:
        A function that maps logits float32 `[B,V]`, the step and what was written to tokens int32 `[B]`.

    Example:

    >>> import tensorflow as tf
    >>> choose = sampling(tf.constant([[0.1, 0.9]]), temperature=2.0)
    >>> logits, written = tf.constant([[1.0, 1.0]]), tf.zeros([1, 2], tf.int32)
    >>> [int(choose(logits, step, written)[0]) for step in (0, 1)]
    [0, 1]
    """

    def choose(logits, step, written):
        return sample(logits, uniforms[:, step], temperature, top_k, top_p)

    return choose


def sample(logits, uniforms, temperature=1.0, top_k=0, top_p=1.0):
    """Draws one token a row by inverting the cumulative distribution.

    A row's token depends on its own row alone. Each setting is one number or one a row, `[B]`.

    Args:
        logits: float32 `[B,V]`, of which each row has a finite one.
        uniforms: float32 `[B]` in [0, 1): the randomness.
        temperature: float32, at least 0; 0 takes the likeliest token.
        top_k: int32: only the k likeliest tokens (Fan et al. 2018); 0 takes all.
        top_p: float32 in (0, 1]: only the likeliest tokens that together reach this probability
            (Holtzman et al. 2020); 1 takes all.

    Returns:
        int32 `[B]`.

    Example:

    >>> import tensorflow as tf
    >>> logits = tf.math.log([[0.5, 0.3, 0.2]])
    >>> [int(sample(logits, tf.constant([uniform]), top_k=2)[0]) for uniform in (0.0, 0.6, 0.7, 0.9)]
    [0, 0, 1, 1]
    """
    temperature = column(temperature, tf.float32)
    top_k = column(top_k, tf.int32)
    top_p = column(top_p, tf.float32)
    vocabulary_size = tf.shape(logits)[-1]
    ordered, tokens = tf.math.top_k(logits, vocabulary_size)
    # A temperature of 0 is the limit of sampling: the likeliest token alone. So is one too small to divide
    # by.
    cold = temperature < np.finfo(np.float32).tiny
    # The largest becomes 0 before the division, which could make it infinite.
    ordered = (ordered - ordered[:, :1]) / tf.where(cold, 1.0, temperature)
    probabilities = tf.nn.softmax(ordered)
    rank = tf.range(vocabulary_size)[None, :]
    limit = tf.where(cold, 1, tf.where(top_k > 0, top_k, vocabulary_size))
    probabilities = tf.where(rank < limit, probabilities, 0.0)
    # top-p is of what top-k left, as in the usual order of these filters. Nothing is before the first token,
    # which so always stays.
    probabilities /= tf.reduce_sum(probabilities, axis=-1, keepdims=True)
    before = tf.cumsum(probabilities, axis=-1, exclusive=True)
    probabilities = tf.where(before < top_p, probabilities, 0.0)
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

    Example:

    >>> import tensorflow as tf
    >>> uniforms = row_uniforms(tf.constant([7, 8, 7], tf.int64), 5).numpy()
    >>> uniforms.shape, bool((uniforms[0] == uniforms[2]).all()), bool((uniforms[0] == uniforms[1]).any())
    ((3, 5), True, False)
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.float32),
    )
