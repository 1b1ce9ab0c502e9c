"""The moving average of the weights of a network, as another network."""

import keras
import tensorflow as tf


def copy_of(network):
    """Returns a copy of a network with equal weights, which is not trainable.

    Args:
        network: A built `keras.Model` or layer with `get_config`.

    Raises:
        ValueError: If a network made from the config has other weights.
    """
    if type(network).__module__.startswith("keras."):
        # `clone_model` also works for layers that are not registered, but it would lose the `call` of a subclass of
        # `Sequential`.
        copy = keras.models.clone_model(network)
    else:
        copy = type(network).from_config(network.get_config())
        if not copy.built:
            copy.build_from_config(network.get_build_config())
    shapes = [[weight.shape for weight in part.weights] for part in (network, copy)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`{network.name}.get_config()` must give a network with the same weights. "
            f"Received: {len(shapes[0])} weights, and {len(shapes[1])} from the config"
        )
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def update_average(average, network, momentum, num_updates):
    """Moves the weights of `average` towards those of `network`, in place.

    The momentum is at most `(1 + num_updates) / (10 + num_updates)`, so that the random initial weights are soon
    forgotten. Weights that are not trainable, such as the statistics of batch normalization, are copied: they are
    already averages, or must not be averaged.

    Args:
        average: The result of `copy_of(network)`.
        network: The network in training.
        momentum: Fraction of the average that stays at each update, from 0 to less than 1.
        num_updates: int scalar, the number of earlier updates.
    """
    early = tf.cast(1 + num_updates, tf.float32) / tf.cast(10 + num_updates, tf.float32)
    momentum = tf.minimum(early, momentum)
    for mean, weight in zip(average.weights, network.weights, strict=True):
        if weight.trainable:
            mean.assign_add(tf.cast(1 - momentum, mean.dtype) * (weight - mean))
        else:
            mean.assign(weight)
