"""Functions that the position layers share: positions as tensors and their distances."""

import tensorflow as tf

from ikelos.kernels.positions import check_positions, fitting_positions, integer_positions


def positions_of(inputs: tf.Tensor, positions) -> tf.Tensor:
    """Returns the positions of the steps of `inputs [B,T,...]` as a tensor, `[T]` or `[B,T]`; 0 to T-1 for None.

    Raises:
        ValueError: If positions are not integers or are known to have another shape.
        tf.errors.InvalidArgumentError: When the graph runs, if the shape turns out to be another.
    """
    if positions is None:
        return tf.range(tf.shape(inputs)[1])
    positions = integer_positions("positions", positions)
    check_positions(positions, *inputs.shape[:2])
    return fitting_positions(positions, inputs)


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
