"""`drop_in`: what makes a subclass of a stock Keras layer stand in for it; `overrides`: when it must not."""

import functools
import inspect
from collections.abc import Iterable
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


def overrides(layer: keras.layers.Layer, stock: type, names: Iterable[str]) -> bool:
    """Whether a method of the class `stock` among `names` is another one in `layer`: of a subclass or of the object
    itself. Who takes the place of code that calls such a method must leave the layer to that code."""
    return any(getattr(getattr(layer, name), "__func__", None) is not getattr(stock, name) for name in names)


@functools.cache
def own_methods(stock: type) -> tuple[str, ...]:
    """The methods of the class `stock`, a layer, that are not for calls from outside and that not every layer has: what
    its `call` is made of."""
    methods = dict(inspect.getmembers(stock, inspect.isfunction))
    return tuple(name for name in methods if name.startswith("_") and not hasattr(keras.layers.Layer, name))
