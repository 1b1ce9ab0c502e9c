"""`LogMelSpectrogram`: the logarithm of a mel-scaled power spectrogram."""

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers.options import check_positive, is_integer, is_number


@keras.saving.register_keras_serializable(package="ikelos")
class LogMelSpectrogram(keras.layers.Layer):
    """Log-mel spectrogram of waveforms: the logarithm of their power in bands of the mel scale.

    Frame `t` holds the samples from `t * sequence_stride` to `t * sequence_stride + sequence_length - 1`. Only whole
    frames count, as in HTK and in librosa with `center=False`: no sample is padded or mirrored, so a frame depends on
    its own samples alone, whatever the batch is padded to. Each frame is multiplied by a periodic Hann window and
    followed by zeros up to `fft_length`. The squared magnitudes of its Fourier transform are added up with triangular
    weights, one triangle per mel band, and the result is `log(power + epsilon)`, a natural logarithm.

    Unlike `keras.layers.MelSpectrogram`, the layer takes waveforms of unequal length, has time as its second axis, and
    its values do not depend on the loudest one of a batch.

    Args:
        sampling_rate: Samples per second.
        sequence_length: Number of samples in a frame.
        sequence_stride: Number of samples from the start of a frame to the start of the next.
        fft_length: Number of points of the Fourier transform, at least `sequence_length`.
        num_mel_bins: Number of mel bands, M.
        min_freq: Lower end of the lowest band, in Hz.
        max_freq: Upper end of the highest band, in Hz; half the sampling rate if None.
        mel_scale: `"htk"`: `2595 log10(1 + f / 700)`. `"slaney"`: linear up to 1,000 Hz and logarithmic above it, as in
            Slaney's Auditory Toolbox (1998).
        norm: None for triangles of height 1, or `"slaney"` for triangles of the same area, as in librosa.
        epsilon: Power that is added before the logarithm. A sine of amplitude 1 has a power of about
            `(sequence_length / 4) ** 2`.

    Call arguments:
        inputs: Waveforms, floats `[B,L]` in [-1, 1].
        lengths: int `[B]`, number of samples of each row; L if None. Samples beyond it are ignored.

    Output shape: `[B,T,M]`, where T is `num_frames(L)`. Frames beyond the `num_frames(lengths)` of a row are 0. Under
    half-precision policies only the result is rounded.

    Raises:
        ValueError: If an argument is out of its range, or a band is so narrow that no point of the Fourier transform
            lies in it. When called: if the inputs have another rank or are not floats.

    Example:

    >>> layer = LogMelSpectrogram(16000, sequence_length=400, sequence_stride=160, fft_length=512, num_mel_bins=40)
    >>> layer(keras.ops.zeros((2, 16000)), keras.ops.array([16000, 8000])).shape
    TensorShape([2, 98, 40])
    >>> layer.num_frames(8000)
    48
    """

    def __init__(
        self,
        sampling_rate,
        sequence_length,
        sequence_stride,
        fft_length,
        num_mel_bins,
        min_freq=0.0,
        max_freq=None,
        mel_scale="htk",
        norm=None,
        epsilon=1e-6,
        **kwargs,
    ):
        # Without automatic casts, which would round waveforms to half precision before the Fourier transform.
        super().__init__(autocast=False, **kwargs)
        check_positive(
            sampling_rate=sampling_rate,
            sequence_length=sequence_length,
            sequence_stride=sequence_stride,
            fft_length=fft_length,
            num_mel_bins=num_mel_bins,
        )
        if fft_length < sequence_length:
            raise ValueError(
                f"`fft_length` must be at least `sequence_length`. Received: fft_length={fft_length}, "
                f"sequence_length={sequence_length}"
            )
        if mel_scale not in _SCALES:
            raise ValueError(f"`mel_scale` must be one of {list(_SCALES)}. Received: mel_scale={mel_scale!r}")
        if norm not in (None, "slaney"):
            raise ValueError(f"`norm` must be None or 'slaney'. Received: norm={norm!r}")
        if not is_number(epsilon) or epsilon <= 0:
            raise ValueError(f"`epsilon` must be a positive number. Received: epsilon={epsilon!r}")
        highest = sampling_rate / 2 if max_freq is None else max_freq
        if not (is_number(min_freq) and is_number(highest) and 0 <= min_freq < highest <= sampling_rate / 2):
            raise ValueError(
                "`min_freq` and `max_freq` must be increasing and between 0 and half the sampling rate, "
                f"{sampling_rate / 2:g}. Received: min_freq={min_freq!r}, max_freq={max_freq!r}"
            )
        self.sampling_rate = sampling_rate
        self.sequence_length = sequence_length
        self.sequence_stride = sequence_stride
        self.fft_length = fft_length
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq
        self.mel_scale = mel_scale
        self.norm = norm
        self.epsilon = epsilon
        self._window = np.sin(np.pi * np.arange(sequence_length) / sequence_length) ** 2
        self._bands = _triangles(sampling_rate, fft_length, num_mel_bins, min_freq, highest, mel_scale, norm)

    def num_frames(self, num_samples):
        """Returns the number of frames of waveforms.

        Args:
            num_samples: Number of samples, an int or an int tensor of any shape.

        Returns:
            The number of frames, an int or a tensor of the same dtype and shape.
        """
        frames = (num_samples - self.sequence_length) // self.sequence_stride + 1
        return max(frames, 0) if is_integer(num_samples) else tf.maximum(frames, 0)

    def call(self, inputs, lengths=None):
        """Returns the log-mel spectrograms `[B,T,M]` of waveforms `[B,L]`."""
        inputs = tf.convert_to_tensor(inputs)
        if len(inputs.shape) != 2:
            raise ValueError(f"`inputs` must have shape [B,L]. Received: inputs.shape={inputs.shape}")
        if not inputs.dtype.is_floating:
            raise ValueError(f"`inputs` must be floats in [-1, 1]. Received: inputs.dtype={inputs.dtype.name}")
        dtype = tf.float64 if self.compute_dtype == "float64" else tf.float32
        waveform = tf.cast(inputs, dtype)
        if lengths is not None:
            lengths = tf.minimum(tf.cast(lengths, tf.int32), tf.shape(inputs)[1])
            # Whatever stands beyond a row's end, NaN too, must reach neither its values nor its gradient.
            waveform = tf.where(tf.sequence_mask(lengths, tf.shape(inputs)[1]), waveform, 0)
        frames = tf.signal.frame(waveform, self.sequence_length, self.sequence_stride)
        # `rfft` itself does not pad where there are no frames, and then rejects them as too short.
        zeros = [[0, 0], [0, 0], [0, self.fft_length - self.sequence_length]]
        spectrum = tf.signal.rfft(tf.pad(frames * tf.constant(self._window, dtype), zeros))
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        mel = tf.tensordot(power, tf.constant(self._bands, dtype), 1)
        outputs = tf.cast(tf.math.log(mel + self.epsilon), self.compute_dtype)
        if lengths is not None:
            valid = tf.sequence_mask(self.num_frames(lengths), tf.shape(outputs)[1])
            outputs = tf.where(valid[..., None], outputs, tf.zeros([], outputs.dtype))
        return outputs

    def compute_output_shape(self, inputs_shape, lengths_shape=None):
        """Returns `[B,T,M]`."""
        batch, samples = inputs_shape
        return batch, None if samples is None else self.num_frames(samples), self.num_mel_bins

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "sampling_rate": self.sampling_rate,
            "sequence_length": self.sequence_length,
            "sequence_stride": self.sequence_stride,
            "fft_length": self.fft_length,
            "num_mel_bins": self.num_mel_bins,
            "min_freq": self.min_freq,
            "max_freq": self.max_freq,
            "mel_scale": self.mel_scale,
            "norm": self.norm,
            "epsilon": self.epsilon,
        }


def _triangles(sampling_rate, fft_length, num_mel_bins, min_freq, max_freq, mel_scale, norm):
    """Returns the weight of each point of the Fourier transform in each band, `[fft_length // 2 + 1, M]`."""
    to_mel, to_hertz = _SCALES[mel_scale]
    corners = to_hertz(np.linspace(to_mel(np.float64(min_freq)), to_mel(np.float64(max_freq)), num_mel_bins + 2))
    points = np.arange(fft_length // 2 + 1)[:, None] * sampling_rate / fft_length
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (points - left) / (centre - left), (right - points) / (right - centre)
    weights = np.maximum(0, np.minimum(rising, falling))
    if (empty := np.flatnonzero(weights.sum(0) == 0)).size:
        raise ValueError(
            f"`num_mel_bins` must be so small that each band has a point of the Fourier transform; band {empty[0]}, "
            f"from {left[empty[0]]:.1f} to {right[empty[0]]:.1f} Hz, has none. "
            f"Received: num_mel_bins={num_mel_bins}, fft_length={fft_length}"
        )
    return weights * (2 / (right - left)) if norm == "slaney" else weights


def _htk_mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def _htk_hertz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


_LINEAR = 200 / 3
"""Hz of a mel below 1,000 Hz on Slaney's scale."""
_OCTAVES = np.log(6.4) / 27
"""Logarithm of the ratio of frequencies that lie one mel apart above 1,000 Hz on Slaney's scale."""


def _slaney_mel(hertz):
    logarithmic = 1000 / _LINEAR + np.log(np.maximum(hertz, 1000) / 1000) / _OCTAVES
    return np.where(hertz < 1000, hertz / _LINEAR, logarithmic)


def _slaney_hertz(mel):
    logarithmic = 1000 * np.exp(_OCTAVES * np.maximum(mel - 1000 / _LINEAR, 0))
    return np.where(mel < 1000 / _LINEAR, mel * _LINEAR, logarithmic)


_SCALES = {"htk": (_htk_mel, _htk_hertz), "slaney": (_slaney_mel, _slaney_hertz)}
