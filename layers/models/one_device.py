"""`check_one_device`: refuses training under a strategy of `tf.distribute`."""

import keras
import tensorflow as tf


def check_one_device(model: keras.Model) -> None:
    """Checks that a model with a custom training step is trained on a single device.

    Under a strategy, training would run without an error but be wrong: all replicas would draw the same noise,
    gradients would be clipped before they are summed, and the mean over replicas would count padding as data.

    Raises:
        ValueError: If a strategy's scope is active, or was active when the model was created.
    """
    default = None if tf.distribute.has_strategy() else tf.distribute.get_strategy()
    if model.distribute_strategy is not default:
        strategy = model.distribute_strategy
        raise ValueError(
            "`model` must be made and trained outside of the scope of any strategy of tf.distribute: its training is "
            f"for one device. Received: model={model.name!r}, under {type(strategy).__name__} of "
            f"{strategy.num_replicas_in_sync} replicas"
        )
