"""Functions that the position layers share: positions as tensors, their distances and their angles."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
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


def check_axes(inputs: tf.Tensor, axes: str) -> None:
    """Checks that `inputs` has one axis for each letter of `axes`, such as `"BTD"`.

    With another rank, broadcasting could give a wrong result instead of an error.

    Raises:
        ValueError: If the rank differs.
    """
    if inputs.shape.rank != len(axes):
        raise ValueError(f"`inputs` must be of shape [{','.join(axes)}]. Received: inputs.shape={inputs.shape}")


def positions_of(inputs: tf.Tensor, positions) -> tf.Tensor:
    """Returns the positions of the steps of `inputs [B,T,...]` as a tensor, `[T]` or `[B,T]`; 0 to T-1 for None.

    Raises:
        ValueError: If positions are not integers or are known to have another shape.
        tf.errors.InvalidArgumentError: When the graph runs, if the shape turns out to be another.
    """
    if positions is None:
        return tf.range(tf.shape(inputs)[1])
    positions = integer_positions("positions", positions)
    batch, steps = inputs.shape[:2]
    if not any(positions.shape.is_compatible_with(shape) for shape in ([steps], [batch, steps], [1, steps])):
        raise ValueError(
            f"`positions` must be of shape [T] or [B,T], here [{steps}] or [{batch},{steps}]. "
            f"Received: positions.shape={positions.shape}"
        )
    if None not in (steps, positions.shape[-1]):
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


def distances(query_positions, key_positions) -> tf.Tensor:
    """Returns the distance of each key ahead of each query, int32 `[1,T,S]` or `[B,T,S]`; it is negative behind the
    query.

    Args:
        query_positions: int `[T]` or `[B,T]`.
        key_positions: int `[S]` or `[B,S]`.

    Raises:
        ValueError: If positions are not integers, a shape is not as above, or the batch sizes differ.
    """
    query_positions = tf.cast(integer_positions("query_positions", query_positions), tf.int32)
    key_positions = tf.cast(integer_positions("key_positions", key_positions), tf.int32)
    if len({rows for rows in _rows(query_positions.shape, key_positions.shape) if rows is not None}) > 1:
        raise ValueError(
            "`query_positions` and `key_positions` must have one batch size. "
            f"Received: query_positions.shape={query_positions.shape}, key_positions.shape={key_positions.shape}"
        )
    ahead = key_positions[..., None, :] - query_positions[..., :, None]
    return ahead if ahead.shape.rank == 3 else ahead[None]


def bias_shape(query_positions_shape, key_positions_shape, num_heads: int) -> tuple:
    """Returns the shape `[1,N,T,S]` or `[B,N,T,S]` of a bias computed from `distances`."""
    rows = _rows(query_positions_shape, key_positions_shape)
    return (rows[0] if rows else 1, num_heads, query_positions_shape[-1], key_positions_shape[-1])


def _rows(*shapes) -> list[int | None]:
    """Returns B of each shape `[B,T]`; leaves out shapes `[T]` and `[1,T]`, which fit any batch."""
    return [shape[0] for shape in shapes if len(shape) == 2 and shape[0] != 1]


def wave_angles(positions: tf.Tensor, frequencies, dtype: tf.DType) -> tf.Tensor:
    """Returns `positions`, `[T]` or `[B,T]`, times `frequencies [F]`: angles `[T,F]` or `[B,T,F]`.

    They are in float32, or in float64 if `dtype` is float64."""
    return tf.cast(positions, arithmetic(dtype))[..., None] * tf.constant(frequencies, arithmetic(dtype))
