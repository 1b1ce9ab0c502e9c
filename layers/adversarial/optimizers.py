"""The optimizers of adversarial training: one for each network."""

import keras


def prepared(scaled, **optimizers):
    """Keras optimizers of what `compile` got, in their order.

    Args:
        scaled: Whether each must scale its loss, as the narrow range of float16 needs.
        **optimizers: Two, by the names of their arguments.

    Raises:
        ValueError: If both are one.
    """
    made = {name: keras.optimizers.get(optimizer) for name, optimizer in optimizers.items()}
    if len({id(optimizer) for optimizer in made.values()}) < len(made):
        received = ", ".join(f"{name}={optimizer}" for name, optimizer in optimizers.items())
        raise ValueError(f"The networks must have an optimizer each. Received: {received}")
    return [_scaling(optimizer) if scaled else optimizer for optimizer in made.values()]


def _scaling(optimizer):
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer if scales else keras.optimizers.LossScaleOptimizer(optimizer)
