"""The random numbers of adversarial training, as functions of the model's seed and its step."""

import tensorflow as tf

# The purposes of random numbers in a step. Each purpose has a different seed.
FOR_DISCRIMINATOR, FOR_GENERATOR, FOR_PENALTY, FOR_EVALUATION = range(4)


def step_seed(seed, step, use):
    """Returns the seed, int64 `[2]`, for one purpose (`use`, one of `FOR_...`) in one step.

    It depends on the arguments only, so training needs no generator state.
    """
    return tf.stack([tf.constant(seed, tf.int64), 4 * step + use])


def normal_latents(num, size, seed):
    """Returns standard normal latents `[num,size]`, which depend only on the arguments; `seed` is int `[2]`."""
    return tf.random.stateless_normal([num, size], seed)
