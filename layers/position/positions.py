"""What the layers of positions share: positions as tensors, their distances and their angles."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


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


def positions_of(inputs: tf.Tensor, positions) -> tf.Tensor:
    """`positions` of the steps of `inputs [B,T,D]` as a tensor; `[T]`, from 0, when None."""
    return tf.range(tf.shape(inputs)[1]) if positions is None else integer_positions("positions", positions)


def distances(query_positions, key_positions) -> tf.Tensor:
    """`key_positions [S]` or `[B,S]` seen from `query_positions [T]` or `[B,T]`: how far each key is ahead of each
    query, int32 `[1,T,S]` or `[B,T,S]`."""
    query_positions = tf.cast(integer_positions("query_positions", query_positions), tf.int32)
    key_positions = tf.cast(integer_positions("key_positions", key_positions), tf.int32)
    ahead = key_positions[..., None, :] - query_positions[..., :, None]
    return ahead if ahead.shape.rank == 3 else ahead[None]


def bias_shape(query_positions_shape, key_positions_shape, num_heads: int) -> tuple:
    """The shape `[1,N,T,S]` or `[B,N,T,S]` of a bias for `distances`."""
    batched = [shape[0] for shape in (query_positions_shape, key_positions_shape) if len(shape) == 2]
    return (batched[0] if batched else 1, num_heads, query_positions_shape[-1], key_positions_shape[-1])


def wave_angles(positions: tf.Tensor, frequencies, dtype: tf.DType) -> tf.Tensor:
    """`positions` times `frequencies [F]`: `[T,F]` or `[B,T,F]`, in float32 for inputs of half precision too."""
    return tf.cast(positions, arithmetic(dtype))[..., None] * tf.constant(frequencies, arithmetic(dtype))
