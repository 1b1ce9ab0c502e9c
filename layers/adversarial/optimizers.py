"""The optimizers of adversarial training, one for each network."""

import keras


class Optimizers:
    """Stand-in for both optimizers, which Keras's callbacks find as `model.optimizer`.

    As with `keras.optimizers.MultiOptimizer`, callbacks read `optimizers` and treat each separately.
    `MultiOptimizer` itself cannot be used, because it updates all weights in one step.

    Attributes:
        optimizers: The optimizers of the generator and of the discriminator.
        iterations: Number of batches so far, int64 scalar. Not every batch updates both networks.
    """

    built = True

    def __init__(self, optimizers, iterations):
        # Callbacks need the optimizer that a loss scale wraps.
        self.optimizers = [getattr(optimizer, "inner_optimizer", optimizer) for optimizer in optimizers]
        self.iterations = iterations

    @property
    def variables(self):
        """Variables of both optimizers, which `model.summary` counts."""
        return [variable for optimizer in self.optimizers for variable in optimizer.variables]

    @property
    def learning_rate(self):
        """Learning rate; not available, because there is one for each optimizer.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(
            "`model.optimizer` has no learning rate: read and set `model.generator_optimizer.learning_rate` "
            "and `model.discriminator_optimizer.learning_rate`"
        )


def prepared(scaled, **optimizers):
    """Returns the optimizers from the arguments of `compile`, each renamed to its argument.

    Args:
        scaled: Whether to wrap each in a `LossScaleOptimizer`, which the narrow range of float16 requires.
        **optimizers: Optimizers as `keras.optimizers.get` takes them, by the names of their arguments.

    Returns:
        A list of optimizers, in the order of the arguments.

    Raises:
        ValueError: If two arguments are the same optimizer, or Keras does not know an optimizer.
    """
    made = {name: keras.optimizers.get(optimizer) for name, optimizer in optimizers.items()}
    if len({id(optimizer) for optimizer in made.values()}) < len(made):
        received = ", ".join(f"{name}={optimizer}" for name, optimizer in optimizers.items())
        raise ValueError(f"`{'` and `'.join(made)}` must be two optimizers. Received: {received}")
    for name, optimizer in made.items():
        # Callbacks log the learning rate by this name, which two optimizers of one class would share.
        getattr(optimizer, "inner_optimizer", optimizer).name = name
    return [_scaling(optimizer) if scaled else optimizer for optimizer in made.values()]


def _scaling(optimizer):
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer if scales else keras.optimizers.LossScaleOptimizer(optimizer)
