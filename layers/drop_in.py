"""`drop_in` makes a subclass of a stock Keras layer its replacement; `overrides` detects overridden methods."""

import functools
import inspect
from collections.abc import Iterable
from typing import TypeVar

import keras

FusedLayer = TypeVar("FusedLayer", bound=type)


def drop_in(layer_class: FusedLayer) -> FusedLayer:
    """Decorates a subclass of a stock layer that has the same variables, constructor and state as the stock layer.

    The class is registered with Keras as `ikelos>NAME`, the name in its configs. Its `__name__` becomes that of the
    stock class. Keras names variables and the groups of a weight file after the `__name__`, so weight files of either
    class load into the other, in any model. `model.summary()` and `repr(layer)` then show the stock name too;
    `type(layer)` shows the real class.
    """
    (stock,) = layer_class.__bases__
    keras.saving.register_keras_serializable(package="ikelos", name=layer_class.__name__)(layer_class)
    layer_class.__name__ = stock.__name__
    return layer_class


def overrides(layer: keras.layers.Layer, stock: type, names: Iterable[str]) -> bool:
    """Returns whether a subclass, or the object itself, overrides one of the methods `names` of the class `stock`.

    Code that calls an overridden method must not be replaced, because the replacement would bypass the method.
    """
    return any(getattr(getattr(layer, name), "__func__", None) is not getattr(stock, name) for name in names)


@functools.cache
def own_methods(stock: type) -> tuple[str, ...]:
    """Returns the names of the private methods that the layer class `stock` adds to `keras.layers.Layer`.

    The `call` of the class is made of these methods.
    """
    methods = dict(inspect.getmembers(stock, inspect.isfunction))
    return tuple(name for name in methods if name.startswith("_") and not hasattr(keras.layers.Layer, name))
