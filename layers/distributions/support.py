"""The values that a distribution can take, and checks that refuse all others."""

import dataclasses
import functools
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Support:
    """Values that a distribution can take.

    Attributes:
        description: The values in words, for error messages: "numbers from 0 to 1".
        contains: Function from float values `[...,*event_shape]` to bools of the same shape. It must be False for NaN.
        is_discrete: Whether `log_prob` is the log of a probability, and not of a density.
        is_interval: Whether all values between two possible ones are possible too, so that only the lowest and the
            highest value need a check.
        is_vector: Whether vectors are possible or not as a whole, such as those that sum to 1.
    """

    description: str
    contains: Callable[[tf.Tensor], tf.Tensor] = dataclasses.field(compare=False, repr=False)
    is_discrete: bool = False
    is_interval: bool = False
    is_vector: bool = False


# Matches a failed assertion of `checked`; the groups are its message and the value.
_ASSERTION = re.compile(r"assertion failed: \[(`\w+` must be .*)\] \[(.*)\]")

REAL = Support("finite numbers", tf.math.is_finite, is_interval=True)
# Interpolation between pixels with the value 1 may round to slightly more than 1.
UNIT_INTERVAL = Support("numbers from 0 to 1", lambda x: (x >= -1e-6) & (x <= 1 + 1e-6), is_interval=True)
# The log_prob of a value in between is the cross entropy, a common loss for grey images.
BINARY = Support("0, 1 or probabilities between them", UNIT_INTERVAL.contains, is_discrete=True, is_interval=True)
COUNTS = Support(
    "whole numbers of at least 0", lambda x: (x >= 0) & (x == tf.round(x)) & tf.math.is_finite(x), is_discrete=True
)


def _sums_to_one(x):
    return tf.abs(tf.reduce_sum(x, axis=-1, keepdims=True) - 1) < 1e-3


ONE_HOT = Support(
    "one-hot vectors, or probabilities that sum to 1",
    lambda x: UNIT_INTERVAL.contains(x) & _sums_to_one(x),
    is_discrete=True,
    is_vector=True,
)


def classes(num_classes):
    """Returns the `Support` of class ids from 0 to `num_classes - 1`."""
    return Support(
        f"whole numbers from 0 to {num_classes - 1}",
        lambda x: COUNTS.contains(x) & (x < num_classes),
        is_discrete=True,
    )


def levels(low, high, num_levels):
    """Returns the `Support` of `num_levels` evenly spaced values from `low` to `high`."""

    def contains(x):
        level = (x - low) / (high - low) * (num_levels - 1)
        # A hundredth of a step allows for rounding, also of 16-bit levels in float32.
        return (tf.abs(level - tf.round(level)) < 0.01) & (level > -0.5) & (level < num_levels - 0.5)

    return Support(f"one of {num_levels} evenly spaced values from {low} to {high}", contains, is_discrete=True)


def real_numbers(name, values, dtype):
    """Returns values as a tensor of a floating dtype.

    Args:
        name: Name of the values, for the error.
        values: Array or tensor of numbers or bools.
        dtype: Floating dtype of the result.

    Raises:
        ValueError: If the values are None, strings or complex numbers, whose imaginary part a cast would drop.
    """
    if values is None:
        raise ValueError(f"`{name}` must be real numbers. Received: {name}=None")
    values = tf.convert_to_tensor(values)
    if not (values.dtype.is_floating or values.dtype.is_integer or values.dtype.is_bool):
        raise ValueError(f"`{name}` must be real numbers. Received: {name}.dtype={values.dtype.name}")
    return tf.cast(values, dtype)


def checked(name, values, support, event_shape, dtype, batch_shape=None, batch_shape_tensor=None):
    """Converts values to `dtype`, after checking their shape and that they are in the support.

    Static shapes are checked at once, and so are the values in eager execution. In a graph an assertion checks the
    values. XLA drops assertions, so all values also become NaN if one is outside the support; then every score is NaN.
    For images, the check takes three passes: the lowest value, the highest, and the addition of 0 or NaN.

    Args:
        name: Name of the values, for the errors.
        values: `[...,*event_shape]`, numbers or bools.
        support: `Support` of the distribution.
        event_shape: Shape of one event.
        dtype: Floating dtype of the result.
        batch_shape: `tf.TensorShape` that the axes before the event must have, or None for any.
        batch_shape_tensor: The same shape as a tensor, for sizes that are not known before the graph runs.

    Returns:
        The values, `[...,*event_shape]` of `dtype`.

    Raises:
        ValueError: If the values have another shape, are None, strings or complex numbers, or, in eager execution, are
            outside the support.
        tf.errors.InvalidArgumentError: When a graph runs, if the values are outside the support or have another batch
            shape than `batch_shape_tensor`.
    """
    values = real_numbers(name, values, dtype)
    check_shape(name, values.shape, event_shape, batch_shape)
    # If a value is NaN, so are the lowest and the highest, except under XLA, where the score of NaN is NaN anyway.
    decisive = tf.stack([tf.reduce_min(values), tf.reduce_max(values)]) if support.is_interval else values
    inside = support.contains(decisive)
    allowed = tf.reduce_all(inside) | (tf.size(values) == 0)
    message = f"`{name}` must be {support.description}. Received: a {'vector' if support.is_vector else 'value'} of"
    if support.is_vector:
        received = _first_refused(values, inside)
    else:
        received = tf.reduce_max(tf.where(inside, values.dtype.min, decisive))
    if tf.executing_eagerly():
        if not allowed:
            numbers = np.array2string(received.numpy(), threshold=10, formatter={"float": lambda x: f"{x:g}"})
            raise ValueError(f"{message} {numbers}")
        return values
    # Not `tf.debugging.Assert`, whose conditional would let TensorFlow warn of a loop that it does not optimize.
    assertions = [tf.raw_ops.Assert(condition=allowed, data=[message, received])]
    if batch_shape_tensor is not None:
        shape, expected = tf.shape(values), tf.concat([batch_shape_tensor, event_shape], axis=0)
        same = tf.reduce_all(shape == expected)
        data = [f"`{name}` must have shape", expected, f". Received: {name}.shape=", shape]
        assertions.append(tf.raw_ops.Assert(condition=same, data=data))
        allowed &= same
    with tf.control_dependencies(assertions):
        return values + tf.where(allowed, tf.zeros([], values.dtype), float("nan"))


def _first_refused(values, inside):
    """Returns the first vector `[D]` that is not inside, zeros if there are none."""
    size = tf.shape(values)[-1]
    refused = tf.reshape(~tf.reduce_all(inside, axis=-1), [-1])
    number = tf.size(refused)
    # The sum of at most one row: an empty batch has none, and `argmax` fails for an empty axis.
    start = tf.argmax(tf.concat([refused, [True]], axis=0), output_type=tf.int32)
    start, count = tf.minimum(start, tf.maximum(number - 1, 0)), tf.minimum(number, 1)
    return tf.reduce_sum(tf.slice(tf.reshape(values, [-1, size]), [start, 0], [count, size]), axis=0)


def with_plain_errors(function):
    """Returns a function that raises the failed assertions of `checked` as a `ValueError` of one line.

    In TensorFlow's error, many lines about the code of the graph precede the assertion's message.
    """

    @functools.wraps(function)
    def called(*args):
        try:
            return function(*args)
        except tf.errors.InvalidArgumentError as error:
            found = _ASSERTION.search(error.message)
            if found is None:
                raise
            raise ValueError(f"{found[1]} {found[2]}") from None

    return called


def check_shape(name, shape, event_shape, batch_shape=None):
    """Checks that a static shape is `[...,*event_shape]`.

    Args:
        name: Name of the tensor, for the error.
        shape: `tf.TensorShape`.
        event_shape: Shape of one event.
        batch_shape: `tf.TensorShape` that the axes before the event must have, or None for any.

    Raises:
        ValueError: If the shape is another, or its rank is unknown.
    """
    event_rank = len(event_shape)
    expected = None if batch_shape is None else batch_shape.concatenate(event_shape)
    fits = shape.rank is not None and (
        shape.rank >= event_rank and shape[shape.rank - event_rank :].is_compatible_with(event_shape)
        if expected is None
        else shape.rank == expected.rank and shape.is_compatible_with(expected)
    )
    if not fits:
        sizes = ["...", *event_shape] if expected is None else expected.as_list()
        wanted = ",".join("B" if size is None else str(size) for size in sizes)
        raise ValueError(f"`{name}` must have shape [{wanted}]. Received: {name}.shape={shape}")
