"""Checks of positions of the steps of a sequence."""

import tensorflow as tf

from ikelos.kernels.reference.shapes import sizes


def integer_positions(name: str, positions) -> tf.Tensor:
    """Returns `positions` as a tensor.

    Raises:
        ValueError: If the positions are not integers, or neither of shape `[T]` nor `[B,T]`; `name` is their name in
            the message.
    """
    positions = tf.convert_to_tensor(positions)
    # Keras casts floating inputs to the dtype of the policy, and in bfloat16 the positions 257 and 258 are equal.
    if not positions.dtype.is_integer:
        raise ValueError(f"`{name}` must be integers. Received: {name}.dtype={positions.dtype.name}")
    if positions.shape.rank not in (1, 2):
        raise ValueError(f"`{name}` must be of shape [T] or [B,T]. Received: {name}.shape={positions.shape}")
    return positions


def check_positions(positions: tf.Tensor, batch: int | None, steps: int | None) -> None:
    """Checks that the shape of `positions` may be `[T]`, `[B,T]` or `[1,T]`, as far as it is known.

    Raises:
        ValueError: If it is another.
    """
    if not any(positions.shape.is_compatible_with(shape) for shape in ([steps], [batch, steps], [1, steps])):
        raise ValueError(
            f"`positions` must be of shape [T] or [B,T], here [{steps}] or [{batch},{steps}]. "
            f"Received: positions.shape={positions.shape}"
        )


def fitting_positions(positions: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Returns `positions`, which have the shape that `check_positions` asks for once `inputs [B,T,...]` are known.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs, if the shape turns out to be another.
    """
    if None not in (inputs.shape[1], positions.shape[-1]):
        # A wrong number of rows raises an error later. A check here would take a tenth of the time of each decoded
        # token.
        return positions
    # Without a check, a single position would be broadcast to any number of steps.
    rows = [tf.where(tf.equal(size, 1), 1, sizes(inputs)[0]) for size in sizes(positions)[:-1]]
    expected = tf.stack([*rows, sizes(inputs)[1]])
    message = "`positions` must be of shape [T] or [B,T]"
    shape = tf.shape(positions)
    check = tf.debugging.Assert(tf.reduce_all(shape == expected), [f"{message}. Received: shape", shape])
    with tf.control_dependencies([check]):
        # XLA removes assertions, so there the reshape is the check. Other graphs may drop the reshape.
        return tf.reshape(positions, expected)


def check_axes(inputs: tf.Tensor, axes: str) -> None:
    """Checks that `inputs` has one axis for each letter of `axes`, such as `"BTD"`.

    With another rank, broadcasting could give a wrong result instead of an error.

    Raises:
        ValueError: If the rank differs.
    """
    if inputs.shape.rank != len(axes):
        raise ValueError(f"`inputs` must be of shape [{','.join(axes)}]. Received: inputs.shape={inputs.shape}")
