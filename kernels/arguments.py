"""Checks of arguments that the ops share, and the dtypes for computing."""

import numbers

import tensorflow as tf


def arithmetic(dtype: tf.DType) -> tf.DType:
    """Returns the dtype to compute in for inputs of `dtype`: float64 for float64, otherwise float32."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def tensor(name: str, x) -> tf.Tensor:
    """Returns `x` as a tensor.

    Raises:
        ValueError: If TensorFlow cannot convert `x`. Unlike TensorFlow's error, it names the argument.
    """
    try:
        return tf.convert_to_tensor(x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a tensor. Received: {name}={x!r}") from error


# The dtypes of the ops' floating inputs. TensorFlow's other floating types have 8 bits or fewer.
FLOATING = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def check_floating(name: str, x: tf.Tensor) -> None:
    """Checks that `x` has one of the dtypes in `FLOATING`.

    Raises:
        ValueError: If `x` has another dtype.
    """
    if x.dtype not in FLOATING:
        raise ValueError(
            f"`{name}` must be of a floating type, one of {', '.join(dtype.name for dtype in FLOATING)}. "
            f"Received: {name}.dtype={x.dtype.name}"
        )


def lengths(name: str, x, batch: int | None, highest: int | None) -> tf.Tensor | None:
    """Returns lengths as int32 `[B]`, or None for None.

    Raises:
        ValueError: If `x` does not hold integers, has another shape, or is known to be outside of 0 to `highest`.
    """
    if x is None:
        return None
    return integers(name, x, batch, 0, highest)


def number(name: str, x: float, dtype: tf.DType = tf.float32) -> float:
    """Returns `x` as a float.

    Raises:
        ValueError: If `x` is not a number that is finite in the dtype in which inputs of `dtype` are computed.
    """
    dtype = arithmetic(dtype)
    # `not ... <=` and not `>`, which would let NaN pass.
    if isinstance(x, bool) or not isinstance(x, numbers.Real) or not abs(x) <= float(dtype.max):
        raise ValueError(f"`{name}` must be a number that is finite in {dtype.name}. Received: {name}={x}")
    return float(x)


def is_integer(x) -> bool:
    """Returns whether `x` is a Python or NumPy integer, but not a bool."""
    return isinstance(x, numbers.Integral) and not isinstance(x, bool)


def integers(name: str, x, batch: int | None, lowest: int, highest: int | None, scalar: bool = False) -> tf.Tensor:
    """Returns integers as int32 `[B]`, or with `scalar` also `[]`.

    Raises:
        ValueError: If `x` does not hold integers, has another shape, or is known to be out of the bounds.
    """
    x = tensor(name, x)
    if not x.dtype.is_integer:
        raise ValueError(f"`{name}` must hold integers. Received: {name}.dtype={x.dtype.name}")
    ranks = (0, 1) if scalar else (1,)
    if x.shape.rank not in ranks or (x.shape.rank == 1 and not x.shape.is_compatible_with([batch])):
        expected = ("a scalar or " if scalar else "") + f"of shape [batch], here [{batch}]"
        raise ValueError(f"`{name}` must be {expected}. Received: {name}.shape={x.shape}")
    known = tf.get_static_value(x)
    if known is not None:
        check_range(name, known.tolist(), lowest, highest)
    if x.dtype == tf.int32:
        return x
    # Clipped, so that a value out of range stays out of range. First cast to int64, because TensorFlow cannot clip
    # every integer dtype.
    return tf.cast(tf.clip_by_value(tf.cast(x, tf.int64), -(2**31), 2**31 - 1), tf.int32)


def check_range(name: str, x: int | list[int], lowest: int, highest: int | None) -> None:
    """Checks that `x`, one or more Python integers, lies within the bounds; `highest=None` is no bound.

    Raises:
        ValueError: If a value is out of the bounds.
    """
    values = x if isinstance(x, list) else [x]
    if any(value < lowest or (highest is not None and value > highest) for value in values):
        expected = f"at least {lowest}" if highest is None else f"within {lowest} and {highest}"
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={x}")
