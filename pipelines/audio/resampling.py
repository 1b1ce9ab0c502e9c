"""Changes the sampling rate of waveforms, in the graph, with the same code for training, prediction and serving.

A new sample is a weighted sum of the old ones around it, with a windowed sinc as weights (Smith, Digital Audio
Resampling, sections "Theory of Operation" and "Choice of Table Size"). The sinc cuts off below half of the lower of the
two rates, so that nothing folds back into the audible range.
"""

import math

import tensorflow as tf

_ZEROS = 24
"""Zero crossings of the sinc on either side of its middle: more make the cut-off steeper, and take longer."""
_BETA = 7.0
"""Shape of the Kaiser window: the sinc damps what it cuts off by some 70 dB."""
_CUT_OFF = 0.91
"""Middle of the cut-off, as a share of half the lower rate. The cut-off is some 0.18 of it wide and ends at 1."""
_BLOCK = 1 << 22
"""Largest number of products that are in memory at once."""


@tf.function(
    input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32)],
    autograph=False,
)
def resample(waveform: tf.Tensor, from_rate: tf.Tensor, to_rate: tf.Tensor) -> tf.Tensor:
    """Changes the sampling rate of a waveform; one that has the wanted rate is returned as it is.

    Frequencies up to 0.82 of half the lower rate are kept within 0.1%, those above half of it are damped by 70 dB. The
    first samples of both waveforms are at the same time. Before and after a waveform is silence.

    Args:
        waveform: float32 `[L]`.
        from_rate: int32, its samples per second, from 1 to 192,000.
        to_rate: int32, samples per second of the result, in the same range.

    Returns:
        float32 `[ceil(L * to_rate / from_rate)]`.
    """
    return tf.cond(from_rate == to_rate, lambda: waveform, lambda: _resampled(waveform, from_rate, to_rate))


def _resampled(waveform, from_rate, to_rate):
    divisor = _greatest_common_divisor(from_rate, to_rate)
    up, down = (tf.cast(rate // divisor, tf.int64) for rate in (to_rate, from_rate))
    weights = _weights(up, down)
    taps = tf.shape(weights, tf.int64)[1]
    padded = tf.pad(waveform, [[taps // 2 - 1, taps // 2]])
    length = (tf.size(waveform, tf.int64) * up + down - 1) // down
    block = tf.maximum(_BLOCK // taps, 1)

    def step(start, parts):
        # In int64, because the number of a sample times the rate exceeds int32 within seconds.
        numbers = tf.range(start, tf.minimum(start + block, length))
        places, phases = numbers * down // up, numbers * down % up
        windows = tf.gather(padded, places[:, None] + tf.range(taps))
        new = tf.reduce_sum(windows * tf.gather(weights, phases), axis=1)
        return start + block, parts.write(parts.size(), new)

    parts = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None])
    _, parts = tf.while_loop(lambda start, _: start < length, step, (tf.constant(0, tf.int64), parts))
    return tf.cond(length > 0, parts.concat, lambda: tf.zeros([0]))


def _weights(up, down):
    """Returns the weights of the old samples around a new one, for each phase between two old samples, `[up,taps]`.

    Each row adds up to 1, so that a constant remains the same constant.
    """
    up, down = tf.cast(up, tf.float64), tf.cast(down, tf.float64)
    cut_off = _CUT_OFF * tf.minimum(tf.ones([], tf.float64), up / down)
    reach = tf.math.ceil(_ZEROS / cut_off)
    # Distances from the new sample, in old samples; a phase of 0 is at the old sample `reach - 1`.
    distances = tf.range(1 - reach, reach + 1)[None, :] - (tf.range(up) / up)[:, None]
    angles = math.pi * cut_off * distances
    sinc = tf.where(distances == 0, tf.ones([], tf.float64), tf.math.divide_no_nan(tf.sin(angles), angles))
    # Kaiser window, whose Bessel functions are scaled by exponentials.
    root = tf.sqrt(tf.maximum(1 - tf.square(distances / reach), 0))
    window = tf.math.bessel_i0e(_BETA * root) * tf.exp(_BETA * (root - 1))
    weights = sinc * window
    return tf.cast(weights / tf.reduce_sum(weights, axis=1, keepdims=True), tf.float32)


def _greatest_common_divisor(a, b):
    return tf.while_loop(lambda _, b: b > 0, lambda a, b: (b, a % b), (a, b))[0]
