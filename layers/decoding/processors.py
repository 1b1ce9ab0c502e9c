"""Logits processors, which are functions `(logits, step, written) -> logits`, and their `chain`."""

import tensorflow as tf

from ikelos.layers.decoding.rows import column, integers


def chain(*functions):
    """Returns a function that applies several functions in turn, each to the logits from the one before.

    Args:
        *functions: Functions from logits float32 `[B,V]`, the step and the tokens written (int32 `[B,L]`) to new
            logits. The last one may return tokens instead, as `greedy` does.

    Returns:
        A function of the same arguments, which returns the result of the last function.

    Example:

    >>> import tensorflow as tf
    >>> from ikelos.layers.decoding import greedy
    >>> choose = chain(allow(tf.constant([True, False, True])), greedy)
    >>> choose(tf.constant([[0.0, 9.0, 1.0]]), 0, tf.zeros([1, 4], tf.int32)).numpy()
    array([2], dtype=int32)
    """

    def chained(logits, step, written):
        for function in functions:
            logits = function(logits, step, written)
        return logits

    return chained


def allow(allowed):
    """Returns a logits processor that makes all tokens impossible except for the allowed ones.

    Args:
        allowed: bool `[V]` or `[B,V]`, with at least one True in each row that has not ended; or a function that
            returns such a mask for the step (an int32 scalar) and the tokens written before it (int32 `[B,L]`, padded
            from column `step` on).

    Returns:
        A function for `chain`.

    Example:

    Each token must be larger than the one before it.

    >>> import tensorflow as tf
    >>> def larger(step, written):
    ...     last = tf.where(step > 0, tf.gather(written, tf.maximum(step - 1, 0), axis=1), -1)
    ...     return tf.range(4) > last[:, None]
    >>> logits = tf.constant([[0.5, 0.6, 0.7, 0.8]])
    >>> allow(larger)(logits, 2, tf.constant([[0, 1, 9, 9]])).numpy()
    array([[-inf, -inf,  0.7,  0.8]], dtype=float32)
    """

    def process(logits, step, written):
        mask = allowed(step, written) if callable(allowed) else allowed
        return tf.where(mask, logits, float("-inf"))

    return process


def repetition_penalty(penalty, prompts, prompt_lengths):
    """Returns a logits processor that makes the tokens of a row's prompt and output less likely (Keskar et al. 2019,
    section 4.1).

    Positive logits of these tokens are divided by `penalty`, as in the paper. Negative ones are multiplied by it,
    because the division would make their tokens likelier. The number of occurrences does not matter.

    Args:
        penalty: float32, one number or `[B]`, larger than 0; 1 has no effect, the paper uses 1.2.
        prompts: int `[B,P]`, padded at the end, all within the vocabulary.
        prompt_lengths: int `[B]`, lengths of the prompts without padding.

    Returns:
        A function for `chain`.

    Example:

    >>> import tensorflow as tf
    >>> process = repetition_penalty(2.0, prompts=tf.constant([[0, 3]]), prompt_lengths=tf.constant([1]))
    >>> process(tf.constant([[1.0, 1.0, -1.0, 1.0]]), 1, tf.constant([[2, 3]])).numpy()
    array([[ 0.5,  1. , -2. ,  1. ]], dtype=float32)
    """
    penalty = column(penalty, tf.float32)
    prompts, prompt_lengths = integers(prompts, prompt_lengths)
    of_prompt = tf.sequence_mask(prompt_lengths, tf.shape(prompts)[1])

    def process(logits, step, written):
        of_text = tf.broadcast_to(tf.range(tf.shape(written)[1]) < step, tf.shape(written))
        counts = tf.cast(tf.concat([of_prompt, of_text], axis=1), tf.int32)
        # Padding is counted 0 times, as token 0, because the id of padding may be outside of the vocabulary.
        tokens = tf.concat([prompts, written], axis=1) * counts
        rows = tf.broadcast_to(tf.range(tf.shape(tokens)[0])[:, None], tf.shape(tokens))
        seen = tf.scatter_nd(tf.stack([rows, tokens], axis=-1), counts, tf.shape(logits)) > 0
        return tf.where(seen, tf.where(logits > 0, logits / penalty, logits * penalty), logits)

    return process
