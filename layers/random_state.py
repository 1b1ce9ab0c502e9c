"""`KeepsRandomState`: a loaded model continues with the random numbers that the saved one would have drawn.

Keras alone saves only the weights, so a loaded model would repeat the random numbers of a new one.
"""

import keras

_PREFIX = "random_state_"


class KeepsRandomState(keras.Model):
    """Model whose files also hold the states of all its `keras.random.SeedGenerator`s.

    The generators give the seeds of samples, dropout and augmentation. Their states are saved in the order of the
    layers.
    """

    def save_own_variables(self, store):
        """Saves the variables that Keras saves, and the states of the random layers."""
        super().save_own_variables(store)
        for place, state in enumerate(_states(self)):
            store[f"{_PREFIX}{place}"] = state

    def load_own_variables(self, store):
        """Loads the variables and states that `save_own_variables` saved.

        Raises:
            ValueError: If the saved model had more or fewer random layers.
        """
        states = _states(self)
        names = list(store.keys())
        saved = [name for name in names if name.startswith(_PREFIX)]
        if len(saved) != len(states):
            raise ValueError(
                f"The file must have the states of {len(states)} random layers, such as dropout, because "
                f"`{self.name}` has as many. Received: {len(saved)}"
            )
        for place, state in enumerate(states):
            state.assign(store[f"{_PREFIX}{place}"])
        super().load_own_variables({name: store[name] for name in names if name not in saved})


def _states(model):
    """Returns the variables of a model that are not weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
