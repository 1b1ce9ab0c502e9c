"""The random numbers of adversarial training, which are functions of the model's seed and its step."""

import tensorflow as tf

# What the random numbers of a step are used for; each use has its own.
FOR_DISCRIMINATOR, FOR_GENERATOR, FOR_PENALTY, FOR_EVALUATION = range(4)


def step_seed(seed, step, use):
    """The seed of one use in one step, int64 `[2]`: a function of the model's seed, so that no state must be kept."""
    return tf.stack([tf.constant(seed, tf.int64), 4 * step + use])


def normal_latents(num, size, seed):
    """Standard normal latents `[num,size]`, a function of the seed `[2]`."""
    return tf.random.stateless_normal([num, size], seed)
