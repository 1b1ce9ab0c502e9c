"""Penalties on the gradient of a discriminator, by name."""

import tensorflow as tf

from ikelos.layers.adversarial.precision import wide


def gradient_penalty(discriminator, real, fake, seed):
    """Returns `E (|gradient| - 1)^2` between real and generated samples (Gulrajani et al. 2017, equation 3).

    The paper uses the weight 10.

    Args:
        discriminator: Function from samples `[B,...]` to scores `[B,...]`.
        real: Real samples, `[B,...]`.
        fake: Generated samples of the same shape.
        seed: int `[2]`, for the random points between real and generated samples.

    Returns:
        A scalar.
    """
    shape = tf.concat([tf.shape(real)[:1], tf.ones([len(real.shape) - 1], tf.int32)], axis=0)
    share = tf.random.stateless_uniform(shape, seed, dtype=real.dtype)
    squares = _squared_gradients(discriminator, share * real + (1 - share) * fake)
    # Without the constant, the gradient of the square root would be infinite at 0.
    return tf.reduce_mean((tf.sqrt(squares + 1e-12) - 1) ** 2)


def r1(discriminator, real, fake, seed):
    """Returns `E |gradient|^2 / 2` at real samples (Mescheder et al. 2018, equation 9).

    The paper uses the weight 10. The arguments are those of `gradient_penalty`.
    """
    return tf.reduce_mean(_squared_gradients(discriminator, real)) / 2


def r2(discriminator, real, fake, seed):
    """Returns `E |gradient|^2 / 2` at generated samples (Mescheder et al. 2018, equation 10).

    The arguments are those of `gradient_penalty`.
    """
    return tf.reduce_mean(_squared_gradients(discriminator, fake)) / 2


PENALTIES = {"gradient_penalty": gradient_penalty, "r1": r1, "r2": r2}


def weighted_penalties(weights, discriminator, real, fake, seed):
    """Returns the weighted penalties, scalars by name.

    `weights` are numbers or variables by name. The other arguments are those of `gradient_penalty`.
    """
    penalties = {name: PENALTIES[name](discriminator, real, fake, seed) for name in weights}
    return {name: tf.cast(weights[name], penalty.dtype) * penalty for name, penalty in penalties.items()}


def _squared_gradients(discriminator, samples):
    """Returns the squared norm of each sample's gradient, `[B]`; the score of a sample is the mean over its patches."""
    with tf.GradientTape() as tape:
        tape.watch(samples)
        scores = wide(discriminator(samples))
        # If no score depends on other samples, the gradient of the sum with respect to a sample is that of its score.
        total = tf.reduce_sum(tf.reduce_mean(tf.reshape(scores, [tf.shape(scores)[0], -1]), axis=1))
    gradients = wide(tape.gradient(total, samples))
    return tf.reduce_sum(gradients**2, axis=list(range(1, len(gradients.shape))))
