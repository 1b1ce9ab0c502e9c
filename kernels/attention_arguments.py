"""The arguments of `ikelos.kernels.attention`, checked and in the form that both implementations take."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.kernels.arguments import check_floating, check_range, integers, is_integer, number, tensor


@dataclasses.dataclass(frozen=True)
class Options:
    """Checked arguments that get no gradient, in the form and under the names of the native op; None if absent."""

    scale: float
    is_causal: bool = False
    window_left: int = -1  # largest distance of a key before the query; -1 for no limit
    window_right: int = -1  # largest distance of a key after the query; -1 for no limit
    mask: tf.Tensor | None = None  # bool, rank 4
    query_seq_lengths: tf.Tensor | None = None  # int32 [B]
    key_value_seq_lengths: tf.Tensor | None = None  # int32 [B]
    query_offset: tf.Tensor | None = None  # int32 [B]
    alibi_slopes: tf.Tensor | None = None  # float32 [N]
    dropout_rate: float = 0.0  # a float32
    dropout_seed: tf.Tensor | None = None  # int32 [2], given if and only if the rate is above 0


def tensors(query, key, value) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns query, key and value as tensors.

    Raises:
        ValueError: If ranks, dtypes or known shapes do not match, or heads or head sizes are unknown.
    """
    query, key, value = (tensor(name, x) for name, x in (("query", query), ("key", key), ("value", value)))
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.shape.rank != 4:
            raise ValueError(f"`{name}` must have shape [batch, time, heads, size]. Received: {name}.shape={x.shape}")
        check_floating(name, x)
        if x.dtype != query.dtype:
            raise ValueError(
                f"`{name}` must have the dtype of `query`. "
                f"Received: {name}.dtype={x.dtype.name}, query.dtype={query.dtype.name}"
            )
    if not key.shape[:3].is_compatible_with(value.shape[:3]):
        raise ValueError(
            "`key` and `value` must have the same batch size, length and number of heads. "
            f"Received: key.shape={key.shape}, value.shape={value.shape}"
        )
    for name, x in (("key", key), ("value", value)):
        if not x.shape[:1].is_compatible_with(query.shape[:1]):
            raise ValueError(
                f"`query` and `{name}` must have the same batch size. "
                f"Received: query.shape={query.shape}, {name}.shape={x.shape}"
            )
    received = f"Received: query.shape={query.shape}, key.shape={key.shape}, value.shape={value.shape}"
    if None in (*query.shape[2:], *key.shape[2:], *value.shape[2:]):
        raise ValueError(
            f"`query`, `key` and `value` must have heads and head sizes that are known at trace time. {received}"
        )
    if query.shape[3] != key.shape[3]:
        raise ValueError(f"`query` and `key` must have the same head size. {received}")
    if query.shape[3] == 0:
        raise ValueError(f"`query` and `key` must have a head size of at least 1. {received}")
    # Zero query heads are valid, also with zero key heads.
    if query.shape[2] % key.shape[2] if key.shape[2] else query.shape[2]:
        raise ValueError(f"`query` must have a multiple of the heads of `key` and `value`. {received}")
    return query, key, value


def pairwise(name: str, x, sizes: list[int | None], dtype: tf.DType) -> tf.Tensor | None:
    """Returns `x` with rank 4, cast to `dtype`; None for None.

    `sizes` are B, N, T and S, None if unknown.

    Raises:
        ValueError: If `x` cannot be broadcast to `sizes` or its dtype is of another kind than `dtype`.
    """
    if x is None:
        return None
    x = tensor(name, x)
    if dtype.is_bool and not x.dtype.is_bool:
        raise ValueError(f"`{name}` must be boolean. Received: {name}.dtype={x.dtype.name}")
    if dtype.is_floating:
        check_floating(name, x)
    fits = x.shape.rank is not None and x.shape.rank <= 4
    if not fits or any(
        size not in (None, 1, wanted) and wanted is not None
        for size, wanted in zip(reversed(list(x.shape)), reversed(sizes), strict=False)
    ):
        raise ValueError(
            f"`{name}` must be broadcastable to {sizes}, [batch, heads, queries, keys]. "
            f"Received: {name}.shape={x.shape}"
        )
    x = tf.cast(x, dtype)
    return x if x.shape.rank == 4 else x[(None,) * (4 - x.shape.rank)]


def offset(x, batch: int | None, query: tf.Tensor) -> tf.Tensor | None:
    """Returns the query offset as int32 `[B]`; None for the integer 0.

    Raises:
        ValueError: If `x` does not hold integers within int32, or is neither a scalar nor `[B]`.
    """
    lowest, highest = -(2**31), 2**31 - 1
    if is_integer(x):
        # Checked before the conversion to a tensor, because TensorFlow has no dtype for very large integers.
        check_range("query_offset", x, lowest, highest)
        if x == 0:
            return None
    x = integers("query_offset", x, batch, lowest, highest, scalar=True)
    return tf.fill(tf.shape(query)[:1] if batch is None else [batch], x) if x.shape.rank == 0 else x


def window(size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Returns the largest distances of a key before and after its query; -1 for no limit.

    Raises:
        ValueError: If `size` is not None, one integer or two, of at least 0.
    """
    if size is None:
        return -1, -1
    sides: Any = (size, size) if is_integer(size) else size
    if (
        not isinstance(sides, list | tuple)
        or len(sides) != 2
        or not all(is_integer(side) and side >= 0 for side in sides)
    ):
        raise ValueError(
            f"`local_window_size` must be one or two integers, at least 0. Received: local_window_size={size}"
        )
    # 2^62 is farther than any position, and adding a position to it does not overflow int64.
    return min(int(sides[0]), 2**62), min(int(sides[1]), 2**62)


def slopes(x, num_heads: int) -> tf.Tensor | None:
    """Returns the ALiBi slopes as float32 `[N]`; None for None.

    Raises:
        ValueError: If the slopes are not floating or have another shape.
    """
    if x is None:
        return None
    x = tensor("alibi_slopes", x)
    check_floating("alibi_slopes", x)
    if x.shape.rank != 1 or not x.shape.is_compatible_with([num_heads]):
        raise ValueError(
            f"`alibi_slopes` must have shape [{num_heads}], a slope for each head. "
            f"Received: alibi_slopes.shape={x.shape}"
        )
    return tf.cast(x, tf.float32)


def dropout(rate: float, seed) -> tuple[float, tf.Tensor | None]:
    """Returns the rate rounded to float32, as in the native op, and the seed as int32 `[2]`; None without dropout.

    Raises:
        ValueError: If the rate is not from 0 to below 1, or the seed is missing or not two integers.
    """
    rate = float(np.float32(number("dropout_rate", rate)))
    if not 0 <= rate < 1:
        raise ValueError(f"`dropout_rate` must be at least 0 and below 1. Received: dropout_rate={rate}")
    if rate == 0:
        return 0.0, None
    if seed is None:
        raise ValueError(
            "`dropout_seed` must be given if `dropout_rate` is above 0. "
            f"Received: dropout_seed=None, dropout_rate={rate}"
        )
    seed = tensor("dropout_seed", seed)
    if not seed.dtype.is_integer:
        raise ValueError(f"`dropout_seed` must be integers. Received: dropout_seed.dtype={seed.dtype.name}")
    if not seed.shape.is_compatible_with([2]):
        raise ValueError(f"`dropout_seed` must have shape [2]. Received: dropout_seed.shape={seed.shape}")
    # The cast is modulo 2^32. Keras's seeds are uint32.
    return rate, tf.cast(seed if seed.shape.is_fully_defined() else tf.ensure_shape(seed, [2]), tf.int32)
