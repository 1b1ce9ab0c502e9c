"""The losses of adversarial training by name, as functions of the discriminator's scores."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ikelos.layers.adversarial.precision import wide

_mean = tf.reduce_mean


class AdversarialLoss(NamedTuple):
    """The losses that the two networks minimize.

    Scores are logits of any shape: `[B]`, `[B,1]` or a map of patches. Losses are scalars, the means over all scores;
    they are float32 also under half-precision policies.

    Attributes:
        discriminator: Function of the scores of real samples and of generated samples.
        generator: Function of the scores of generated samples.
        threshold: Function of the scores of real samples and of generated samples. The discriminator classifies samples
            with a score above its result as real.
    """

    discriminator: Callable
    generator: Callable
    threshold: Callable


def _cross_entropy(real, fake):
    # log D = -softplus(-score) and log(1 - D) = -softplus(score), which stay finite where the sigmoid rounds to 0 or 1.
    return _mean(tf.nn.softplus(-wide(real))) + _mean(tf.nn.softplus(wide(fake)))


def _zero(real, fake):
    return tf.zeros([], wide(real).dtype)


def _midpoint(real, fake):
    return (_mean(wide(real)) + _mean(wide(fake))) / 2


# Notation: D = sigmoid(score), x is real, y is generated, and E is the mean over the batch. The discriminator
# minimizes the first expression and the generator the second.
LOSSES = {
    # Goodfellow et al. 2014, equation 1: -E log D(x) - E log(1 - D(y)), which is log 4 if real and generated samples
    # are alike; generator: E log(1 - D(y)), whose gradient vanishes while the discriminator is sure.
    "min_max": AdversarialLoss(_cross_entropy, lambda fake: -_mean(tf.nn.softplus(wide(fake))), _zero),
    # Goodfellow et al. 2014, section 3: the same for the discriminator; generator: -E log D(y).
    "non_saturating": AdversarialLoss(_cross_entropy, lambda fake: _mean(tf.nn.softplus(-wide(fake))), _zero),
    # Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17: E max(0, 1 - score(x)) + E max(0, 1 + score(y));
    # generator: -E score(y).
    "hinge": AdversarialLoss(
        lambda real, fake: _mean(tf.nn.relu(1 - wide(real))) + _mean(tf.nn.relu(1 + wide(fake))),
        lambda fake: -_mean(wide(fake)),
        _zero,
    ),
    # Arjovsky et al. 2017, equation 2: E score(y) - E score(x), which for an optimal 1-Lipschitz critic is minus the
    # Wasserstein distance between real and generated samples; generator: -E score(y). Only the differences of scores
    # have a meaning, so the threshold is the midpoint between the mean scores of real and of generated samples.
    "wasserstein": AdversarialLoss(
        lambda real, fake: _mean(wide(fake)) - _mean(wide(real)), lambda fake: -_mean(wide(fake)), _midpoint
    ),
    # Mao et al. 2017, equation 9: E (score(x) - 1)^2 / 2 + E score(y)^2 / 2; generator: E (score(y) - 1)^2 / 2.
    "least_squares": AdversarialLoss(
        lambda real, fake: (_mean((wide(real) - 1) ** 2) + _mean(wide(fake) ** 2)) / 2,
        lambda fake: _mean((wide(fake) - 1) ** 2) / 2,
        lambda real, fake: _zero(real, fake) + 0.5,
    ),
}
