"""`SpectrogramWarp`: random warps of the time and the frequencies of spectrograms."""

import keras
import tensorflow as tf

from ikelos.layers.audio.spectrograms import check_spectrograms, frames_of_rows
from ikelos.layers.options import is_number


@keras.saving.register_keras_serializable(package="ikelos")
class SpectrogramWarp(keras.layers.Layer):
    """Random warps of spectrograms in training, as if another person had spoken, at a changing speed.

    Frequency `m` takes the value at `factor * m`, where the factor is drawn from `1 - freq_warp` to `1 + freq_warp`;
    beyond the last frequency, its value is taken. On mel bands this is a rough form of vocal tract length perturbation
    (Jaitly & Hinton 2013, section 2), which scales frequencies in Hz. In time, a frame from the middle half of a row
    moves by up to `time_warp` of the row's duration to either side, while the first and the last frame stay where they
    are (Park et al. 2019, section 2). Between two frames or frequencies, values are interpolated linearly. Each row is
    warped in its own way, and keeps its number of frames. In inference the inputs stay unchanged.

    Args:
        freq_warp: Largest difference of the factor from 1, at least 0 and below 1; 0 for none.
        time_warp: Largest movement as a share of the row's duration, at least 0 and below 0.25; 0 for none.
        seed: int for the same warps in the same order; by default they differ from run to run.

    Call arguments:
        inputs: Spectrograms `[B,T,M]`, floats, of M frequencies.
        lengths: int `[B]`, number of frames of each row; T if None. Later frames stay unchanged in time.
        training: Boolean, whether to warp.

    Output shape: `[B,T,M]`.

    Raises:
        ValueError: If an argument is out of its range. When called: if the inputs have another rank or are not floats.

    Example:

    >>> warp = SpectrogramWarp(freq_warp=0.1, time_warp=0.1, seed=1)
    >>> warp(keras.ops.ones((2, 50, 16)), lengths=keras.ops.array([50, 30]), training=True).shape
    TensorShape([2, 50, 16])
    """

    def __init__(self, freq_warp=0.1, time_warp=0.1, seed=None, **kwargs):
        super().__init__(**kwargs)
        for name, value, limit in (("freq_warp", freq_warp, 1), ("time_warp", time_warp, 0.25)):
            if not is_number(value) or not 0 <= value < limit:
                raise ValueError(
                    f"`{name}` must be a number of at least 0 and below {limit}. Received: {name}={value!r}"
                )
        self.freq_warp = freq_warp
        self.time_warp = time_warp
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, lengths=None, training=False):
        """Returns the warped spectrograms; in inference, returns the inputs."""
        check_spectrograms(inputs)
        if not training or not (self.freq_warp or self.time_warp):
            return inputs
        shape = inputs.shape
        batch, frames, bins = tf.unstack(tf.shape(inputs))
        # In float32 also under half-precision policies, because bfloat16 has too few values for the positions.
        draws = keras.random.uniform((3, batch, 1), dtype="float32", seed=self.seed_generator)
        if self.freq_warp:
            factor = 1 + self.freq_warp * (2 * draws[0] - 1)
            inputs = _interpolated(inputs, factor * tf.range(bins, dtype=tf.float32), axis=2)
        if self.time_warp:
            places = self._times(draws[1], draws[2], frames, frames_of_rows(inputs, lengths)[:, None])
            inputs = _interpolated(inputs, places, axis=1)
        return tf.ensure_shape(inputs, shape)

    def _times(self, middle, movement, frames, lengths):
        """Returns the places in time `[B,T]` from which frames come, given uniform draws `[B,1]` from 0 to 1."""
        last = tf.cast(tf.maximum(lengths - 1, 0), tf.float32)
        source = last * (0.25 + 0.5 * middle)
        target = source + last * self.time_warp * (2 * movement - 1)
        time = tf.range(frames, dtype=tf.float32)[None, :]
        before = tf.math.divide_no_nan(time * source, target)
        after = last - tf.math.divide_no_nan((last - time) * (last - source), last - target)
        return tf.where(time > last, time, tf.where(time < target, before, after))

    def compute_output_shape(self, inputs_shape, lengths_shape=None):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "freq_warp": self.freq_warp, "time_warp": self.time_warp, "seed": self.seed}


def _interpolated(values, places, axis):
    """Returns values `[B,T,M]` at places `[B,N]` along an axis; places beyond the last one count as the last."""
    last = tf.maximum(tf.shape(values)[axis] - 1, 0)
    places = tf.minimum(places, tf.cast(last, tf.float32))
    low = tf.cast(tf.floor(places), tf.int32)
    share = tf.cast(tf.expand_dims(places - tf.floor(places), 3 - axis), values.dtype)
    at_low, at_high = (tf.gather(values, at, axis=axis, batch_dims=1) for at in (low, tf.minimum(low + 1, last)))
    return at_low + share * (at_high - at_low)
