"""Options of layers: checks with errors that name the option, and weights that may be variables."""

import math
import numbers

import keras
import tensorflow as tf

_VARIABLE = "variable"


def check_positive(**options):
    """Checks that all options are positive integers.

    Raises:
        ValueError: If an option is not a positive integer; the message names the option.
    """
    for name, value in options.items():
        if not is_integer(value) or value <= 0:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_draw(num, seed):
    """Checks the arguments of a method that draws samples.

    Args:
        num: Number of samples. A tensor is not checked here, but by TensorFlow.
        seed: An int, two ints, or None.

    Raises:
        ValueError: If `num` is not a positive integer or `seed` is not as described.
    """
    if not tf.is_tensor(num):
        check_positive(num=num)
    check_seed(seed)


def check_seed(seed):
    """Checks that a seed is an int, two ints or None; the ints may be a tensor.

    Raises:
        ValueError: If the seed is not as described.
    """
    if seed is None:
        return
    seed_tensor = tf.convert_to_tensor(seed)
    if not seed_tensor.dtype.is_integer or seed_tensor.shape not in ((), (2,)):
        raise ValueError(f"`seed` must be an int or two ints. Received: seed={seed!r}")


def is_integer(value):
    """Returns whether a value is an integer of Python or NumPy, but not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value):
    """Returns whether a value is a finite real number, but not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_variable(value):
    """Returns whether a value is a variable of Keras or TensorFlow."""
    return isinstance(value, keras.Variable | tf.Variable)


def weight(name, value):
    """Checks the weight of a loss term, a number of at least 0 or a scalar variable that a callback can change.

    A Keras variable is made non-trainable: layers track it as one of their weights, and training would lower it without
    end.

    Args:
        name: The option's name, for the error.
        value: A number, `keras.Variable` or `tf.Variable`.

    Returns:
        `value`.

    Raises:
        ValueError: If `value` is not as described.
    """
    if is_variable(value):
        fits = value.shape == () and tf.as_dtype(value.dtype).is_floating
    else:
        fits = is_number(value) and value >= 0
    if not fits:
        raise ValueError(
            f"`{name}` must be a number of at least 0, or a scalar floating-point variable. Received: {name}={value!r}"
        )
    if isinstance(value, keras.Variable):
        value.trainable = False
    return value


def serialized(value):
    """Returns a loss weight, a result of `weight`, as JSON data."""
    if is_variable(value):
        return {_VARIABLE: float(value), "is_keras": isinstance(value, keras.Variable)}
    return value


def deserialized(config):
    """Returns a loss weight from the result of `serialized`; a variable becomes a new one of the same kind and
    value."""
    if isinstance(config, dict) and _VARIABLE in config:
        kind = keras.Variable if config["is_keras"] else tf.Variable
        return kind(config[_VARIABLE], trainable=False)
    return config
