"""The random numbers of adversarial training, with which a loaded model goes on."""

import tensorflow as tf

# What the random numbers of a step are for: each use has its own.
FOR_DISCRIMINATOR, FOR_GENERATOR, FOR_PENALTY, FOR_EVALUATION = range(4)


def step_seed(seed, step, use):
    """The seed of one use in one step, int64 `[2]`: a function of the model's seed, so that nothing need be kept."""
    return tf.stack([tf.constant(seed, tf.int64), 4 * step + use])


def normal_latents(num, size, seed):
    """Latents `[num,size]`, a function of the seed `[2]`."""
    return tf.random.stateless_normal([num, size], seed)


def save_state(model, store):
    """Writes what the random numbers of an `AdversarialModel` go on from to a store of Keras's (a dict of arrays).

    That is its step, the one variable of its own, and the states of all `keras.random.SeedGenerator`s of its layers,
    such as those of dropout and augmentation. Keras by itself saves weights alone.
    """
    for i, variable in enumerate(_state(model)):
        store[str(i)] = variable


def load_state(model, store):
    """Reads what `save_state` wrote.

    Raises:
        ValueError: If the saved model had more or fewer random layers.
    """
    variables = _state(model)
    if len(store.keys()) != len(variables):
        raise ValueError(
            f"A file for this `AdversarialModel` must have {len(variables) - 1} states of random layers, such as "
            f"dropout and augmentation. Received: {len(store.keys()) - 1}"
        )
    for i, variable in enumerate(variables):
        variable.assign(store[str(i)])


def _state(model):
    """The step, and what `variables` has beside `weights`: the states of seeds, in the order of the layers."""
    weights = {id(weight) for weight in model.weights}
    return [model.step, *(variable for variable in model.variables if id(variable) not in weights)]
