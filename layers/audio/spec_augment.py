"""`SpecAugment`: random masks over the time and the frequencies of spectrograms."""

import keras
import tensorflow as tf

from ikelos.layers.audio.spectrograms import check_spectrograms, frames_of_rows
from ikelos.layers.options import is_integer, is_number


@keras.saving.register_keras_serializable(package="ikelos")
class SpecAugment(keras.layers.Layer):
    """Random masks over bands of frequencies and spans of time in training (Park et al. 2019, section 2; the
    warping of time is `SpectrogramWarp`).

    A mask of frequencies has a width drawn from 0 to `freq_mask_size`, a mask of time one from 0 to
    `time_mask_share` of the frames of its row, rounded down (Park et al. 2020, section 3.2); all integers are equally
    likely. The position is then drawn from all that keep the mask inside the row. Masks may overlap, and each row has
    masks of its own. Masked values become 0, so the inputs should be normalised to a mean of 0. In inference the
    inputs stay unchanged.

    Args:
        num_freq_masks: Number of masks over frequencies; 0 for none.
        freq_mask_size: Largest number of frequencies in a mask, F in the paper.
        num_time_masks: Number of masks over time; 0 for none.
        time_mask_share: Largest number of frames in a mask, as a share of the frames of the row, from 0 to 1.
        seed: int for the same masks in the same order; by default they differ from run to run.

    Call arguments:
        inputs: Spectrograms `[B,T,M]`, floats, of M frequencies.
        lengths: int `[B]`, number of frames of each row; T if None.
        training: Boolean, whether to mask.

    Output shape: `[B,T,M]`.

    Raises:
        ValueError: If an argument is out of its range. When called: if the inputs have another rank or are not floats.

    Example:

    >>> augment = SpecAugment(num_freq_masks=1, freq_mask_size=3, num_time_masks=2, time_mask_share=0.2, seed=1)
    >>> augment(keras.ops.ones((2, 50, 16)), lengths=keras.ops.array([50, 30]), training=True).shape
    TensorShape([2, 50, 16])
    """

    def __init__(
        self, num_freq_masks=2, freq_mask_size=27, num_time_masks=2, time_mask_share=0.05, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        counts = {"num_freq_masks": num_freq_masks, "freq_mask_size": freq_mask_size, "num_time_masks": num_time_masks}
        for name, value in counts.items():
            if not is_integer(value) or value < 0:
                raise ValueError(f"`{name}` must be an integer of at least 0. Received: {name}={value!r}")
        if not is_number(time_mask_share) or not 0 <= time_mask_share <= 1:
            raise ValueError(
                f"`time_mask_share` must be a number from 0 to 1. Received: time_mask_share={time_mask_share!r}"
            )
        self.num_freq_masks = num_freq_masks
        self.freq_mask_size = freq_mask_size
        self.num_time_masks = num_time_masks
        self.time_mask_share = time_mask_share
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, lengths=None, training=False):
        """Returns the masked spectrograms; in inference, returns the inputs."""
        check_spectrograms(inputs, "floats around 0")
        if not training:
            return inputs
        batch, frames, bins = tf.unstack(tf.shape(inputs))
        lengths = frames_of_rows(inputs, lengths)
        # In float32 also under half-precision policies, because bfloat16 has too few values for the positions.
        masks = self.num_freq_masks + self.num_time_masks
        draws = keras.random.uniform((2, batch, masks), dtype="float32", seed=self.seed_generator)
        of_freq, of_time = tf.split(draws, [self.num_freq_masks, self.num_time_masks], axis=-1)
        # In float64, where the product of a share such as 0.29 and a length of 100 is not rounded below 29.
        longest = tf.cast(tf.floor(self.time_mask_share * tf.cast(lengths, tf.float64) + 1e-9), tf.int32)
        masked_bins = _covered(of_freq, tf.fill([batch], bins), tf.fill([batch], self.freq_mask_size), bins)
        masked_frames = _covered(of_time, lengths, longest, frames)
        masked = masked_frames[:, :, None] | masked_bins[:, None, :]
        return tf.where(masked, tf.zeros([], inputs.dtype), inputs)

    def compute_output_shape(self, inputs_shape, lengths_shape=None):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_freq_masks": self.num_freq_masks,
            "freq_mask_size": self.freq_mask_size,
            "num_time_masks": self.num_time_masks,
            "time_mask_share": self.time_mask_share,
            "seed": self.seed,
        }


def _covered(draws, sizes, widest, axis_size):
    """Returns which places of an axis lie under a mask, bool `[B,axis_size]`.

    Args:
        draws: Uniform draws from 0 to 1 for the width and the start of each mask, `[2,B,masks]`.
        sizes: int32 `[B]`, number of places of each row that may be masked.
        widest: int32 `[B]`, largest width of a mask; at most `sizes` counts.
        axis_size: Length of the axis.
    """
    sizes = sizes[:, None]
    width = _integers(draws[0], tf.minimum(widest[:, None], sizes) + 1)
    start = _integers(draws[1], sizes - width + 1)
    places = tf.range(axis_size)
    inside = (places >= start[..., None]) & (places < (start + width)[..., None])
    return tf.reduce_any(inside, axis=1)


def _integers(draws, number):
    """Converts uniform draws from 0 to 1 to integers from 0 to `number - 1`."""
    # The product may be rounded up to `number`.
    return tf.minimum(tf.cast(draws * tf.cast(number, tf.float32), tf.int32), number - 1)
