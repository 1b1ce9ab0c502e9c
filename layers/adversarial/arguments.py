"""What `AdversarialModel` refuses, and what it warns of."""

import warnings

import keras

from ikelos.layers.adversarial.losses import LOSSES
from ikelos.layers.adversarial.penalties import PENALTIES


def check_options(
    *, loss, latent_size, penalties, penalty_interval, discriminator_steps, max_discriminator_accuracy, ema_momentum
):
    """Refuses what is unknown or out of range; the names are those of `AdversarialModel`'s arguments.

    Raises:
        ValueError: If one is.
    """
    if not isinstance(penalties, dict):
        raise ValueError(f"`penalties` must be a dict of weights by name. Received: penalties={penalties}")
    for argument, names, table in (("loss", [loss], LOSSES), ("penalties", penalties, PENALTIES)):
        unknown = [name for name in names if name not in table]
        if unknown:
            raise ValueError(f"`{argument}` must be of {list(table)}. Received: {argument}={unknown}")
    for argument, number, least in (
        ("latent_size", latent_size, 0),
        ("penalty_interval", penalty_interval, 1),
        ("discriminator_steps", discriminator_steps, 1),
    ):
        if number < least:
            raise ValueError(f"`{argument}` must be at least {least}. Received: {argument}={number}")
    if not 0 <= max_discriminator_accuracy <= 1:
        raise ValueError(
            "`max_discriminator_accuracy` must be from 0 to 1. "
            f"Received: max_discriminator_accuracy={max_discriminator_accuracy}"
        )
    if not 0 <= ema_momentum < 1:
        raise ValueError(f"`ema_momentum` must be at least 0 and less than 1. Received: ema_momentum={ema_momentum}")


def check_built(**networks):
    """Refuses networks, by the names of their arguments, that are not built.

    Raises:
        ValueError: If one is not.
    """
    for name, network in networks.items():
        if not network.built:
            raise ValueError(f"`{name}` must be built: call it, or `build`, first. Received: {network}")


def warn_of_mixed_samples(discriminator, penalties):
    """Warns the caller's caller of penalties on a discriminator whose scores are not each sample's own."""
    if penalties and any(isinstance(x, keras.layers.BatchNormalization) for x in _layers_of(discriminator)):
        warnings.warn(
            "`penalties` take the gradient of each sample's own score, which batch normalisation in the "
            f"discriminator mixes with the others'. Received: penalties={penalties}",
            stacklevel=3,
        )


def _layers_of(network):
    """All layers in `network`, itself included."""
    return [network, *(x for part in getattr(network, "layers", []) for x in _layers_of(part))]
