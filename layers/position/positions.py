"""What the layers of positions share: positions as tensors, their distances and their angles."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.reference.shapes import sizes


def integer_positions(name: str, positions) -> tf.Tensor:
    """`positions` as a tensor.

    Raises:
        ValueError: If they are no integers or neither of shape `[T]` nor `[B,T]`.
    """
    positions = tf.convert_to_tensor(positions)
    # Keras casts what is floating to the policy's dtype, and bfloat16 cannot tell position 257 from 258.
    if not positions.dtype.is_integer:
        raise ValueError(f"`{name}` must be integers. Received: {name}.dtype={positions.dtype.name}")
    if positions.shape.rank not in (1, 2):
        raise ValueError(f"`{name}` must be of shape [T] or [B,T]. Received: {name}.shape={positions.shape}")
    return positions


def check_axes(inputs: tf.Tensor, axes: str) -> None:
    """That `inputs` has as many axes as `axes` has letters, such as `"BTD"`: what broadcasting makes of others is no
    error, and wrong.

    Raises:
        ValueError: If not.
    """
    if inputs.shape.rank != len(axes):
        raise ValueError(f"`inputs` must be of shape [{','.join(axes)}]. Received: inputs.shape={inputs.shape}")


def positions_of(inputs: tf.Tensor, positions) -> tf.Tensor:
    """`positions`, `[T]` or `[B,T]`, of the steps of `inputs [B,T,...]` as a tensor; `[T]`, from 0, when None.

    Raises:
        ValueError: If they are no integers, or are known to be of another shape.
        tf.errors.InvalidArgumentError: If they turn out to be of another shape when the graph runs.
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
        # Another number of rows fails by itself, and a check for each token decoded takes a tenth of its time.
        return positions
    # One position would pass for any number of steps.
    rows = [tf.where(tf.equal(size, 1), 1, sizes(inputs)[0]) for size in sizes(positions)[:-1]]
    expected = tf.stack([*rows, sizes(inputs)[1]])
    message = "`positions` must be of shape [T] or [B,T]"
    with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(positions), expected, message)]):
        # XLA leaves assertions out, and other graphs such a reshape.
        return tf.reshape(positions, expected)


def distances(query_positions, key_positions) -> tf.Tensor:
    """`key_positions [S]` or `[B,S]` seen from `query_positions [T]` or `[B,T]`: how far each key is ahead of each
    query, int32 `[1,T,S]` or `[B,T,S]`."""
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
    """The shape `[1,N,T,S]` or `[B,N,T,S]` of a bias for `distances`."""
    rows = _rows(query_positions_shape, key_positions_shape)
    return (rows[0] if rows else 1, num_heads, query_positions_shape[-1], key_positions_shape[-1])


def _rows(*shapes) -> list[int | None]:
    """Of shapes `[T]` and `[B,T]` the numbers of rows, where they are not one for all."""
    return [shape[0] for shape in shapes if len(shape) == 2 and shape[0] != 1]


def wave_angles(positions: tf.Tensor, frequencies, dtype: tf.DType) -> tf.Tensor:
    """`positions` times `frequencies [F]`: `[T,F]` or `[B,T,F]`, in float32 for inputs of half precision too."""
    return tf.cast(positions, arithmetic(dtype))[..., None] * tf.constant(frequencies, arithmetic(dtype))
