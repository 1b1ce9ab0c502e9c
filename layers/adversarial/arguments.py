"""Checks of the arguments of `AdversarialModel`."""

import warnings

import keras

from ikelos.layers.adversarial.losses import LOSSES
from ikelos.layers.adversarial.penalties import PENALTIES
from ikelos.layers.options import is_integer, is_number, weight


def check_options(
    *,
    loss,
    latent_size,
    penalties,
    penalty_interval,
    reconstruction_weight,
    discriminator_steps,
    max_discriminator_accuracy,
    ema_momentum,
    seed,
    augmentation,
):
    """Checks arguments of `AdversarialModel`.

    Raises:
        ValueError: If an argument has the wrong type, a name is unknown or a number is out of range.
    """
    if not isinstance(penalties, dict):
        raise ValueError(f"`penalties` must be a dict of weights by name. Received: penalties={penalties}")
    for argument, names, table in (("loss", [loss], LOSSES), ("penalties", penalties, PENALTIES)):
        unknown = [name for name in names if not isinstance(name, str) or name not in table]
        if unknown:
            raise ValueError(f"`{argument}` must be one of {list(table)}. Received: {argument}={unknown[0]!r}")
    for name, value in penalties.items():
        weight(f"penalties[{name!r}]", value)
    weight("reconstruction_weight", reconstruction_weight)
    for argument, number, least in (
        ("latent_size", latent_size, 0),
        ("penalty_interval", penalty_interval, 1),
        ("discriminator_steps", discriminator_steps, 1),
    ):
        if not is_integer(number) or number < least:
            raise ValueError(f"`{argument}` must be an integer of at least {least}. Received: {argument}={number!r}")
    if not is_number(max_discriminator_accuracy) or not 0 <= max_discriminator_accuracy <= 1:
        raise ValueError(
            "`max_discriminator_accuracy` must be a number from 0 to 1. "
            f"Received: max_discriminator_accuracy={max_discriminator_accuracy!r}"
        )
    if not is_number(ema_momentum) or not 0 <= ema_momentum < 1:
        raise ValueError(
            f"`ema_momentum` must be a number from 0 to less than 1. Received: ema_momentum={ema_momentum!r}"
        )
    if augmentation is not None and not isinstance(augmentation, keras.layers.Layer):
        raise ValueError(f"`augmentation` must be a Keras layer or None. Received: augmentation={augmentation!r}")
    if seed is not None and not is_integer(seed):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")


def check_networks(**networks):
    """Checks that networks, given by the names of their arguments, are built Keras layers.

    Raises:
        ValueError: If a network is not a Keras layer or is not built.
    """
    for name, network in networks.items():
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"`{name}` must be a Keras model or layer. Received: {name}={network!r}")
        if not network.built:
            raise ValueError(f"`{name}` must be built: call it, or `build`, first. Received: {name}={network}")


def warn_of_mixed_samples(discriminator, penalties):
    """Warns if penalties are used with a discriminator whose score of a sample depends on the other samples.

    The warning shows the line of code that called the caller of this function.
    """
    if penalties and any(isinstance(x, keras.layers.BatchNormalization) for x in _layers_of(discriminator)):
        warnings.warn(
            "`penalties` take the gradient of the score of each sample, which with batch normalization in the "
            f"discriminator depends on the other samples too. Received: penalties={penalties}",
            stacklevel=3,
        )


def _layers_of(network):
    """Returns all layers in a network at any depth, including the network itself."""
    return [network, *(x for part in getattr(network, "layers", []) for x in _layers_of(part))]
