"""The optimizers of adversarial training: one for each network."""

import keras


class Optimizers:
    """What Keras's callbacks find as `model.optimizer` where there is more than one.

    As of `keras.optimizers.MultiOptimizer`, they ask for `optimizers` and treat each by itself. That class itself
    would move all weights in one step.

    Attributes:
        optimizers: Of the generator and of the discriminator.
        iterations: How many batches the model has met, int64 scalar; an optimizer may rest.
    """

    built = True

    def __init__(self, optimizers, iterations):
        # A loss scale around an optimizer is none of the callbacks' business.
        self.optimizers = [getattr(optimizer, "inner_optimizer", optimizer) for optimizer in optimizers]
        self.iterations = iterations

    @property
    def variables(self):
        """Those of both, for the sizes in `model.summary`."""
        return [variable for optimizer in self.optimizers for variable in optimizer.variables]

    @property
    def learning_rate(self):
        """Not available: each optimizer has its own.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(
            "`model.optimizer` has no learning rate of its own: read and set `model.generator_optimizer.learning_rate` "
            "and `model.discriminator_optimizer.learning_rate`"
        )


def prepared(scaled, **optimizers):
    """Keras optimizers of what `compile` got, in their order, each under the name of its argument.

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
    for name, optimizer in made.items():
        # Callbacks log the rate by this name, and two of one class would share it.
        getattr(optimizer, "inner_optimizer", optimizer).name = name
    return [_scaling(optimizer) if scaled else optimizer for optimizer in made.values()]


def _scaling(optimizer):
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer if scales else keras.optimizers.LossScaleOptimizer(optimizer)
