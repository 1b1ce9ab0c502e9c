"""`drop_in`: what makes a subclass of a stock Keras layer stand in for it."""

from typing import TypeVar

import keras

FusedLayer = TypeVar("FusedLayer", bound=type)


def drop_in(layer_class: FusedLayer) -> FusedLayer:
    """Decorates a subclass of a stock layer that has the same variables, the same constructor and the same state.

    It is registered with Keras as `ikelos>NAME`, which is what a config holds. Its `__name__` becomes that of the
    stock class: Keras names variables and the groups of a weight file by it, so that the files of either class load
    into the other, whatever the model around them. `model.summary()` and `repr(layer)` then show the stock name too;
    `type(layer)` tells which it is.
    """
    (stock,) = layer_class.__bases__
    keras.saving.register_keras_serializable(package="ikelos", name=layer_class.__name__)(layer_class)
    layer_class.__name__ = stock.__name__
    return layer_class
