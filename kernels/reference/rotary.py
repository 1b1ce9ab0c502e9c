"""Rotary positions in plain TensorFlow."""

from collections.abc import Sequence

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


def wave_angles(positions: tf.Tensor, frequencies, dtype: tf.DType) -> tf.Tensor:
    """Returns `positions`, `[T]` or `[B,T]`, times `frequencies [F]`: angles `[T,F]` or `[B,T,F]`.

    They are in float32, or in float64 if `dtype` is float64."""
    return tf.cast(positions, arithmetic(dtype))[..., None] * tf.convert_to_tensor(frequencies, arithmetic(dtype))


def rotary(inputs: Sequence[tf.Tensor], positions: tf.Tensor, frequencies, magnitude: float) -> list[tf.Tensor]:
    """Computes `ikelos.kernels.rotary` for a sequence of tensors of one dtype."""
    angles = wave_angles(positions, frequencies, inputs[0].dtype)[..., None, :]
    sine, cosine = magnitude * tf.sin(angles), magnitude * tf.cos(angles)
    sine, cosine = tf.concat([-sine, sine], axis=-1), tf.concat([cosine, cosine], axis=-1)
    return [_rotated(x, sine, cosine) for x in inputs]


def _rotated(x: tf.Tensor, sine: tf.Tensor, cosine: tf.Tensor) -> tf.Tensor:
    wide = tf.cast(x, sine.dtype)
    swapped = tf.concat(tf.split(wide, 2, axis=-1)[::-1], axis=-1)
    return tf.cast(wide * cosine + swapped * sine, x.dtype)
