"""What of a model a version saves: the variables and tables that its functions use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def used_of(model: object, functions: dict) -> list[Any]:
    """Returns the variables and tables of `model` that the functions use, each once.

    Saving `model` would also save the optimizer of a compiled Keras model, which can be twice the size of the
    weights.

    Raises:
        ValueError: If a function uses a table that `model` does not contain.
    """
    import tensorflow as tf

    root = tf.Module()
    root.held = model
    used = [variable for function in functions.values() for variable in function.variables]
    resources = {id(variable.handle): variable for variable in used}
    for held in tf.train.TrackableView(root).descendants():
        resources[id(getattr(held, "resource_handle", None))] = held
    for name, function in functions.items():
        for tensor in function.captured_inputs:
            if tensor.dtype != tf.resource:
                continue
            if id(tensor) not in resources:
                raise ValueError(
                    f"Signature {name!r}: `model` must contain every table that it uses. Missing: {tensor}"
                )
            used.append(resources[id(tensor)])
    return list({id(one): one for one in used}.values())


def is_variable(used: object) -> bool:
    """Returns whether a thing that is saved is a variable of TensorFlow, and no table."""
    import tensorflow as tf

    return isinstance(used, tf.Variable)


def servable(used: Sequence[Any], stored: Mapping[int, Sequence[Any]]) -> tf.Module:
    """Returns a module with the variables and tables, in which a `StoredWeight` replaces each variable with a format.

    `stored` is what `rounded_weights` gave for them.
    """
    import tensorflow as tf

    from ikelos.serving.stored_weight import StoredWeight

    module = tf.Module()
    module.used, module.stored = [], []
    for one in used:
        if is_variable(one) and id(one.handle) in stored:
            weight = StoredWeight(one, stored[id(one.handle)])
            module.used.append(weight)
            module.stored.append(weight.stored)
        else:
            module.used.append(one)
    return module
