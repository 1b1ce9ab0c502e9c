"""`check_one_device`: that no strategy of `tf.distribute` has a hand in a training of ours."""

import keras
import tensorflow as tf


def check_one_device(model: keras.Model) -> None:
    """For whoever trains by steps of their own.

    Under a strategy such a training goes on without an error, and is wrong: each replica draws the same noise,
    gradients are clipped before they are added, and means of replicas weigh padding as if it were data.

    Raises:
        ValueError: If a strategy's scope is open, or was when the model was made.
    """
    default = None if tf.distribute.has_strategy() else tf.distribute.get_strategy()
    if model.distribute_strategy is not default:
        strategy = model.distribute_strategy
        raise ValueError(
            "`model` must be made and trained outside of the scope of any strategy of tf.distribute: its training is "
            f"for one device. Received: model={model.name!r}, under {type(strategy).__name__} of "
            f"{strategy.num_replicas_in_sync} replicas"
        )
