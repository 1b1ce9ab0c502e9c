"""The moving average of a network's weights, as a network of its own."""

import keras
import tensorflow as tf


def copy_of(network):
    """A second network with equal weights, which is not trained.

    Args:
        network: A built `keras.Model` or layer with `get_config`.

    Raises:
        ValueError: If what its config gives is another network.
    """
    if type(network).__module__.startswith("keras."):
        # Takes layers that are not registered, too; a subclass of `Sequential` would lose its own `call`.
        copy = keras.models.clone_model(network)
    else:
        copy = type(network).from_config(network.get_config())
        if not copy.built:
            copy.build_from_config(network.get_build_config())
    shapes = [[weight.shape for weight in part.weights] for part in (network, copy)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`{network.name}.get_config()` must give a network of the same weights. "
            f"Received: {len(shapes[0])} weights, and {len(shapes[1])} from the config"
        )
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def update_average(average, network, momentum, num_updates):
    """Moves the weights of `average` towards those of `network`, in place.

    The momentum rises to its value as `(1 + num_updates) / (10 + num_updates)`, so that the first random
    weights are soon forgotten. Weights that are not trained, such as the statistics of batch normalisation, are
    copied: they are averages already, or must not be averaged.

    Args:
        average: What `copy_of(network)` gave.
        network: The network in training.
        momentum: Share of the average that stays at each update, from 0 to less than 1.
        num_updates: int scalar, number of earlier updates.
    """
    early = tf.cast(1 + num_updates, tf.float32) / tf.cast(10 + num_updates, tf.float32)
    momentum = tf.minimum(early, momentum)
    for mean, weight in zip(average.weights, network.weights, strict=True):
        if weight.trainable:
            mean.assign_add(tf.cast(1 - momentum, mean.dtype) * (weight - mean))
        else:
            mean.assign(weight)
