"""Options of layers: checks that name the option, and numbers that may also be variables."""

import math
import numbers

import keras
import tensorflow as tf

_VARIABLE = "variable"


def check_positive(**options):
    """Raises an error that names the option unless all are positive integers.

    Raises:
        ValueError: If one is not.
    """
    for name, value in options.items():
        if not is_integer(value) or value <= 0:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_draw(num, seed):
    """Refuses arguments of a method that draws samples; tensors are left to TensorFlow.

    Args:
        num: Number of samples.
        seed: An int, two ints, or None.

    Raises:
        ValueError: If `num` is not a positive integer or `seed` is something else.
    """
    if not tf.is_tensor(num):
        check_positive(num=num)
    check_seed(seed)


def check_seed(seed):
    """Refuses a seed that is not an int, two ints or None, as a number or as a tensor.

    Raises:
        ValueError: If it is something else.
    """
    if seed is None:
        return
    seed_tensor = tf.convert_to_tensor(seed)
    if not seed_tensor.dtype.is_integer or seed_tensor.shape not in ((), (2,)):
        raise ValueError(f"`seed` must be an int or two ints. Received: seed={seed!r}")


def is_integer(value):
    """Whether a value is an integer of Python or NumPy, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value):
    """Whether a value is a finite real number, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_variable(value):
    """Whether a value is a variable of Keras or TensorFlow."""
    return isinstance(value, keras.Variable | tf.Variable)


def weight(name, value):
    """Checks the weight of a part of a loss: a number of at least 0, or a scalar variable that a callback changes.

    A layer tracks the Keras variables that it holds as its weights, and training would lower this one without end. So
    it is made not trainable.

    Args:
        name: The option's name, for the error.
        value: A number, `keras.Variable` or `tf.Variable`.

    Returns:
        The value itself.

    Raises:
        ValueError: If it is something else, or a number below 0.
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
    """A `weight` as data that JSON can hold."""
    if is_variable(value):
        return {_VARIABLE: float(value), "is_keras": isinstance(value, keras.Variable)}
    return value


def deserialized(config):
    """The `weight` of what `serialized` gave; a variable becomes a new one of the same kind and value."""
    if isinstance(config, dict) and _VARIABLE in config:
        kind = keras.Variable if config["is_keras"] else tf.Variable
        return kind(config[_VARIABLE], trainable=False)
    return config
