"""Checks of what several ops take, and the types they compute in."""

import numbers

import tensorflow as tf


def arithmetic(dtype: tf.DType) -> tf.DType:
    """The type to compute in for inputs of `dtype`."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def tensor(name: str, x) -> tf.Tensor:
    """`x` as a tensor; TensorFlow's own error does not tell which argument was wrong."""
    try:
        return tf.convert_to_tensor(x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a tensor. Received: {name}={x!r}") from error


# What the ops compute with. TensorFlow calls more types floating, of 8 bits and fewer.
FLOATING = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def check_floating(name: str, x: tf.Tensor) -> None:
    """That `x` is of a type that the ops compute with."""
    if x.dtype not in FLOATING:
        raise ValueError(
            f"`{name}` must be of a floating type, one of {', '.join(dtype.name for dtype in FLOATING)}. "
            f"Received: {name}.dtype={x.dtype.name}"
        )


def lengths(name: str, x, batch: int | None, highest: int | None) -> tf.Tensor | None:
    """int32 `[B]`; within 0 and `highest` where both are known."""
    if x is None:
        return None
    return integers(name, x, batch, 0, highest)


def number(name: str, x: float, dtype: tf.DType = tf.float32) -> float:
    """A number, finite in the type that is computed in for inputs of `dtype`."""
    dtype = arithmetic(dtype)
    # No comparison with NaN is true.
    if isinstance(x, bool) or not isinstance(x, numbers.Real) or not abs(x) <= float(dtype.max):
        raise ValueError(f"`{name}` must be a finite number as {dtype.name}. Received: {name}={x}")
    return float(x)


def is_integer(x) -> bool:
    """Whether `x` is a Python or NumPy integer, and no boolean."""
    return isinstance(x, numbers.Integral) and not isinstance(x, bool)


def integers(name: str, x, batch: int | None, lowest: int, highest: int | None, scalar: bool = False) -> tf.Tensor:
    """int32, one for each row, or if `scalar` perhaps one for all; those known now are within the bounds known."""
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
    # What is out of range must stay so; there is no such operation for all types.
    return tf.cast(tf.clip_by_value(tf.cast(x, tf.int64), -(2**31), 2**31 - 1), tf.int32)


def check_range(name: str, x: int | list[int], lowest: int, highest: int | None) -> None:
    """Of Python's integers, which hold those of all types."""
    values = x if isinstance(x, list) else [x]
    if any(value < lowest or (highest is not None and value > highest) for value in values):
        expected = f"at least {lowest}" if highest is None else f"within {lowest} and {highest}"
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={x}")
