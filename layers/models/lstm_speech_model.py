"""`LSTMSpeechModel`: speech recognition by LSTMs in both directions and CTC."""

import keras
import tensorflow as tf

from ikelos.layers.audio.ctc_loss import ctc_loss
from ikelos.layers.audio.log_mel_spectrogram import LogMelSpectrogram
from ikelos.layers.audio.spec_augment import SpecAugment
from ikelos.layers.audio.spectrogram_warp import SpectrogramWarp
from ikelos.layers.models.one_device import check_one_device
from ikelos.layers.projection import Projection
from ikelos.layers.recurrent.bidirectional import bidirectional
from ikelos.layers.recurrent.fused_lstm import FusedLSTM

_MIN_DEVIATION = 1e-3
"""Smallest standard deviation by which a band is divided: silence, whose values are all equal, becomes 0."""


@keras.saving.register_keras_serializable(package="ikelos")
class LSTMSpeechModel(keras.Model):
    """Speech recognition by LSTMs in both directions and CTC (Graves & Jaitly 2014; the convolutions and the
    normalisation are those of Amodei et al. 2016, section 3).

    The waveform becomes a log-mel spectrogram, of which each band is normalised over the row's own frames. In training
    it is warped, and some of it is masked (Park et al. 2019). Two convolutions over time and frequency leave a quarter
    of the frames, which the LSTMs read. A row's logits do not depend on the other rows or on its padding.

    The model has its own loss: `compile` it with an optimizer alone. `y` are the tokens, int `[B,U]`, with zeros after
    the end; `sample_weight`, `[B]`, is their number if not given. The loss is the CTC loss for each token.

    Args:
        vocabulary_size: Number of classes, V. Class 0 is the blank.
        num_layers: Number of layers of LSTMs.
        size: Units of an LSTM in each direction, U.
        sampling_rate: Samples per second.
        sequence_length: Number of samples in a frame of the spectrogram.
        sequence_stride: Number of samples from the start of a frame to the start of the next.
        fft_length: Number of points of the Fourier transform.
        num_mel_bins: Number of mel bands, M.
        filters: Channels of the convolutions.
        freq_mask_size: Largest number of bands in each of two masks in training.
        time_mask_share: Largest share of the frames in each of two masks in training.
        freq_warp: As in `SpectrogramWarp`.
        time_warp: As there.
        dropout: Share of each LSTM's inputs and of the last outputs that is dropped in training.

    Call arguments:
        inputs: A dict of `audio`, floats `[B,L]` in [-1, 1], and `length`, int `[B]`, the number of samples of each
            row.

    Output shape: logits `[B,T,V]`, float32 under every dtype policy; a row has `num_frames(length)` of them.

    Raises:
        ValueError: As `LogMelSpectrogram`, `SpecAugment` and `SpectrogramWarp`; or if the model is trained under a
            strategy of `tf.distribute`.

    Example:

    >>> model = LSTMSpeechModel(
    ...     30, num_layers=1, size=8, sampling_rate=8000, sequence_length=200, sequence_stride=80, fft_length=512,
    ...     num_mel_bins=40, filters=4,
    ... )
    >>> model({"audio": keras.ops.zeros((2, 8000)), "length": keras.ops.array([8000, 4000])}).shape
    TensorShape([2, 25, 30])
    >>> model.num_frames(4000)
    12
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        size,
        sampling_rate,
        sequence_length,
        sequence_stride,
        fft_length,
        num_mel_bins,
        filters,
        freq_mask_size=0,
        time_mask_share=0.0,
        freq_warp=0.0,
        time_warp=0.0,
        dropout=0.0,
        **kwargs,
    ):
        # Without automatic casts, which would round waveforms to half precision.
        super().__init__(autocast=False, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.size = size
        self.filters = filters
        policy = {"dtype": self.dtype_policy}
        # Sums over many frames are too large for half precision, so only normalised spectrograms are rounded to it.
        precise = "float64" if self.compute_dtype == "float64" else "float32"
        self.log_mel = LogMelSpectrogram(
            sampling_rate, sequence_length, sequence_stride, fft_length, num_mel_bins, name="log_mel", dtype=precise
        )
        self.augment = SpecAugment(2, freq_mask_size, 2, time_mask_share, name="augment", **policy)
        self.convolutions = [
            keras.layers.Conv2D(filters, 3, 2, activation="relu", name=f"convolution_{i}", **policy) for i in range(2)
        ]

        def lstm(name):
            return FusedLSTM(size, return_sequences=True, return_state=True, name=name, **policy)

        self.forward, self.backward = (
            [lstm(f"{name}_{i}") for i in range(num_layers)] for name in ("forward", "backward")
        )
        self.dropout = keras.layers.Dropout(dropout, name="dropout", **policy)
        self.head = Projection(vocabulary_size, name="logits", dtype="float32")
        self.warp = SpectrogramWarp(freq_warp, time_warp, name="warp", **policy)

    def build(self, input_shape=None):
        """Creates the weights, which depend on no shape of the inputs."""
        bands, channels = self.log_mel.num_mel_bins, 1
        for convolution in self.convolutions:
            convolution.build((None, None, bands + 2, channels))
            bands, channels = _halved(bands), self.filters
        features = bands * channels
        for forward, backward in zip(self.forward, self.backward, strict=True):
            forward.build((None, None, features))
            backward.build((None, None, features))
            features = 2 * self.size
        self.head.build((None, None, features))

    def num_frames(self, num_samples):
        """Returns the number of logits of waveforms.

        Args:
            num_samples: Number of samples, an int or an int tensor of any shape.

        Returns:
            The number, an int or a tensor of the same dtype and shape.
        """
        return _halved(_halved(self.log_mel.num_frames(num_samples)))

    def call(self, inputs, training=None):
        """Returns the logits `[B,T,V]`."""
        hidden, lengths = self.spectrogram(inputs)
        hidden = self.warp(hidden, lengths=lengths, training=bool(training))
        hidden = self.augment(hidden, lengths=lengths, training=bool(training))[..., None]
        for convolution in self.convolutions:
            # Padded by hand, because Keras's padding depends on the number of frames of the longest row.
            hidden = convolution(tf.pad(hidden, [[0, 0], [1, 1], [1, 1], [0, 0]]))
            lengths = _halved(lengths)
            hidden = _masked(hidden, lengths)
        bands, channels = hidden.shape[2:]
        hidden = tf.reshape(hidden, [tf.shape(hidden)[0], tf.shape(hidden)[1], bands * channels])
        for forward, backward in zip(self.forward, self.backward, strict=True):
            hidden = self.dropout(hidden, training=training)
            hidden = bidirectional(forward, backward, hidden, lengths, training)
        return self.head(self.dropout(hidden, training=training))

    def spectrogram(self, inputs):
        """Returns the normalised log-mel spectrograms `[B,T,M]` of the inputs, with at least one frame, and the number
        of frames of each row, int32 `[B]`."""
        audio, lengths = inputs["audio"], tf.cast(inputs["length"], tf.int32)
        missing = tf.maximum(self.log_mel.sequence_length - tf.shape(audio)[1], 0)
        log_mel = self.log_mel(tf.pad(audio, [[0, 0], [0, missing]]), lengths=lengths)
        frames = self.log_mel.num_frames(lengths)
        count = tf.cast(tf.maximum(frames, 1), log_mel.dtype)[:, None, None]
        # Relative to the first frame, because the mean of equal values may differ from them by rounding.
        relative = _masked(log_mel - log_mel[:, :1], frames)
        centred = _masked(relative - tf.reduce_sum(relative, axis=1, keepdims=True) / count, frames)
        deviation = tf.sqrt(tf.reduce_sum(tf.square(centred), axis=1, keepdims=True) / count)
        return tf.cast(centred / tf.maximum(deviation, _MIN_DEVIATION), self.compute_dtype), frames

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the CTC loss for each token, weighted by the rows' weights."""
        check_one_device(self)
        number = tf.reduce_sum(tf.cast(y != 0, tf.int32), axis=1)
        losses = ctc_loss(y_pred, self.num_frames(tf.cast(x["length"], tf.int32)), y, number)
        number = tf.cast(tf.maximum(number, 1), losses.dtype)
        weights = number if sample_weight is None else tf.cast(sample_weight, losses.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses / number), tf.reduce_sum(weights))

    def compute_output_shape(self, input_shape):
        """Returns `[B,T,V]`."""
        batch, samples = input_shape["audio"]
        return batch, None if samples is None else self.num_frames(samples), self.vocabulary_size

    def get_config(self):
        """Returns the constructor's arguments."""
        log_mel = self.log_mel.get_config()
        names = ("sampling_rate", "sequence_length", "sequence_stride", "fft_length", "num_mel_bins")
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "size": self.size,
            **{name: log_mel[name] for name in names},
            "filters": self.filters,
            "freq_mask_size": self.augment.freq_mask_size,
            "time_mask_share": self.augment.time_mask_share,
            "freq_warp": self.warp.freq_warp,
            "time_warp": self.warp.time_warp,
            "dropout": self.dropout.rate,
        }


def _halved(number):
    """Returns half of a number of frames or bands, rounded up."""
    return (number + 1) // 2


def _masked(values, lengths):
    """Returns values `[B,T,...]` with zeros beyond the lengths `[B]` of the rows."""
    valid = tf.sequence_mask(lengths, tf.shape(values)[1])
    valid = tf.reshape(valid, tf.concat([tf.shape(valid), tf.ones([tf.rank(values) - 2], tf.int32)], axis=0))
    return tf.where(valid, values, tf.zeros([], values.dtype))
