"""Saves the states of a model's random layers, so that a loaded model continues with the same random numbers.

Keras itself saves only the weights, so a loaded model would repeat the random numbers of a new one.
"""

_PREFIX = "random_state_"


def save_random_state(model, store):
    """Writes the states of all `keras.random.SeedGenerator`s of a model to a Keras store (a dict of arrays).

    These are the seeds of samples, dropout and augmentation, in the order of the layers.
    """
    for place, state in enumerate(_states(model)):
        store[f"{_PREFIX}{place}"] = state


def load_random_state(model, store):
    """Restores the states that `save_random_state` wrote.

    Returns:
        A dict of the other arrays in the store.

    Raises:
        ValueError: If the saved model had more or fewer random layers.
    """
    states = _states(model)
    names = list(store.keys())
    saved = [name for name in names if name.startswith(_PREFIX)]
    if len(saved) != len(states):
        raise ValueError(
            f"The file must have the states of {len(states)} random layers, such as dropout, because "
            f"`{model.name}` has as many. Received: {len(saved)}"
        )
    for place, state in enumerate(states):
        state.assign(store[f"{_PREFIX}{place}"])
    return {name: store[name] for name in names if name not in saved}


def _states(model):
    """Returns the variables of a model that are not weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
