"""Functions that choose a token from logits: the likeliest one, or a random one."""

import numpy as np
import tensorflow as tf

from ikelos.layers.decoding.rows import column


def greedy(logits, step, written):
    """Returns the likeliest token of each row, int32 `[B]`; of equally likely tokens, the first.

    Args:
        logits: float32 `[B,V]`.
        step: Not used. It is here because `generate` passes it.
        written: Not used. It is here because `generate` passes it.

    Example:

    >>> import tensorflow as tf
    >>> greedy(tf.constant([[0.0, 2.0, 1.0]]), 0, tf.zeros([1, 4], tf.int32)).numpy()
    array([1], dtype=int32)
    """
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def sampling(uniforms, temperature=1.0, top_k=0, top_p=1.0):
    """Returns a function that draws the next token of each row, for `generate` or the end of a `chain`.

    Args:
        uniforms: float32 `[B,L]` in [0, 1), one column for each step, such as those from `row_uniforms`.
        temperature: As in `sample`.
        top_k: As in `sample`.
        top_p: As in `sample`.

    Returns:
        A function from logits float32 `[B,V]`, the step and the tokens written to tokens int32 `[B]`.

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
    """Draws one token per row by inverting the cumulative distribution.

    The token of a row depends on this row alone. `temperature`, `top_k` and `top_p` are one number or one per row,
    `[B]`.

    Args:
        logits: float32 `[B,V]`, at least one finite in each row.
        uniforms: float32 `[B]`, random numbers in [0, 1).
        temperature: float32, at least 0; 0 takes the likeliest token.
        top_k: int32, number of the likeliest tokens to draw from (Fan et al. 2018); 0 draws from all.
        top_p: float32 in (0, 1], the probability that the likeliest tokens to draw from must reach together (Holtzman
            et al. 2020); 1 draws from all.

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
    # A temperature of 0, or one too small to divide by, takes the likeliest token: the limit of small temperatures.
    cold = temperature < np.finfo(np.float32).tiny
    # The largest logit becomes 0 first, because the division could make it infinite.
    ordered = (ordered - ordered[:, :1]) / tf.where(cold, 1.0, temperature)
    probabilities = tf.nn.softmax(ordered)
    rank = tf.range(vocabulary_size)[None, :]
    limit = tf.where(cold, 1, tf.where(top_k > 0, top_k, vocabulary_size))
    probabilities = tf.where(rank < limit, probabilities, 0.0)
    # In the usual order, top-p applies to the tokens that top-k left. The first token always remains, because the
    # probability before it is 0.
    probabilities /= tf.reduce_sum(probabilities, axis=-1, keepdims=True)
    before = tf.cumsum(probabilities, axis=-1, exclusive=True)
    probabilities = tf.where(before < top_p, probabilities, 0.0)
    reached = tf.cumsum(probabilities, axis=-1)
    target = uniforms[:, None] * reached[:, -1:]
    # The first rank whose cumulative probability exceeds the target. A parallel sum may not be monotone, so the second
    # condition excludes tokens that were filtered out.
    drawn = tf.argmax(tf.cast((reached > target) & (probabilities > 0.0), tf.int32), axis=-1, output_type=tf.int32)
    return tf.gather(tokens, drawn, batch_dims=1)


def row_uniforms(seeds, count):
    """Returns uniform random numbers in [0, 1) for each row, which depend only on the seed of the row.

    XLA draws other numbers than TensorFlow's kernels.

    Args:
        seeds: int64 `[B]`.
        count: Number of random numbers per row. A larger count does not change the first ones.

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
