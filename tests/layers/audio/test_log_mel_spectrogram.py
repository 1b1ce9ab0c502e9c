import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LogMelSpectrogram
from ikelos.layers.testing import check_layer

SMALL = {"sampling_rate": 8000, "sequence_length": 50, "sequence_stride": 20, "fft_length": 64, "num_mel_bins": 5}


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype("float32")


def hertz_to_mel(hertz, scale):
    if scale == "htk":
        return 1127.01048 * np.log(1 + hertz / 700)
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def by_hand(waveform, rate, length, stride, fft_length, bins, low, high, scale, norm, epsilon):
    """Returns the log-mel spectrogram of one waveform by its definition, in float64, without a Fourier library."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    edges = np.linspace(hertz_to_mel(low, scale), hertz_to_mel(high, scale), bins + 2)
    # By bisection, and not by the inverse formula.
    grid = np.linspace(0, rate / 2, 200_001)
    edges = np.interp(edges, [hertz_to_mel(hertz, scale) for hertz in grid], grid)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(fft_length // 2 + 1), np.arange(length)) / fft_length)
    rows = []
    for start in range(0, len(waveform) - length + 1, stride):
        power = np.abs(wave @ (window * waveform[start : start + length].astype("float64"))) ** 2
        row = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k, value in enumerate(power):
                hertz = k * rate / fft_length
                if left < hertz < right:
                    weight = (hertz - left) / (centre - left) if hertz < centre else (right - hertz) / (right - centre)
                    total += value * weight * (2 / (right - left) if norm else 1)
            row.append(np.log(total + epsilon))
        rows.append(row)
    return np.array(rows)


def test_keeps_a_layers_promises():
    check_layer(
        LogMelSpectrogram,
        {**SMALL, "min_freq": 100.0},
        noise([2, 170]),
        config_kwargs={"max_freq": 3800.0, "mel_scale": "slaney", "norm": "slaney", "epsilon": 1e-3},
        call_kwargs={"lengths": np.array([170, 90], "int32")},
    )


@pytest.mark.parametrize(
    ("scale", "norm", "low", "high"), [("htk", None, 0, 4000), ("htk", "slaney", 60, 3000), ("slaney", None, 100, 4000)]
)
@pytest.mark.parametrize(("length", "stride", "fft_length"), [(97, 31, 128), (64, 64, 64), (59, 80, 111)])
def test_has_the_values_of_the_definition(scale, norm, low, high, length, stride, fft_length):
    waveform = noise([400])
    layer = LogMelSpectrogram(8000, length, stride, fft_length, 6, low, high, scale, norm, epsilon=1e-5)
    expected = by_hand(waveform, 8000, length, stride, fft_length, 6, low, high, scale, norm, 1e-5)
    # The grid of the bisection is off by up to 1e-5 of a band.
    np.testing.assert_allclose(layer(waveform[None])[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"mel_scale": "htk"},
            {(0, 0): 7.20597, (0, 4): 0.10201, (3, 10): 1.53328, (10, 19): 2.95383, (21, 7): 2.07587},
        ),
        (
            {"mel_scale": "slaney", "norm": "slaney"},
            {(0, 0): 2.05998, (0, 4): -4.70005, (3, 10): -4.0167, (10, 19): -3.80722, (21, 7): -3.34823},
        ),
    ],
)
def test_has_the_values_of_librosa(options, expected):
    """Of `librosa.feature.melspectrogram` 0.11.0 with n_fft=512, center=False and power=2, plus 1e-6, as logarithms."""
    n = np.arange(4000)
    waveform = 0.5 * np.sin(2 * np.pi * 440 * n / 16000) + 0.3 * np.sin(1e-4 * n**2) + (n * n * 7919 % 1009) / 5000
    layer = LogMelSpectrogram(16000, 512, 160, 512, 20, 60.0, 7600.0, **options)
    outputs = layer(waveform.astype("float32")[None])[0].numpy()
    assert outputs.shape == (22, 20)
    # librosa rounds the weights and the window to float32.
    np.testing.assert_allclose([outputs[place] for place in expected], list(expected.values()), rtol=0, atol=2e-4)


def test_a_row_depends_on_its_own_samples_alone():
    layer, lengths = LogMelSpectrogram(**SMALL), [170, 90, 49, 0, 50]
    rows = [noise([length], seed=length) for length in lengths]
    batch = np.full([5, 200], np.nan, "float32")
    for row, samples in zip(batch, rows, strict=True):
        row[: len(samples)] = samples
    outputs = layer(batch, np.array(lengths)).numpy()
    assert outputs.shape == (5, 8, 5)
    assert layer.num_frames(tf.constant(lengths)).numpy().tolist() == [7, 3, 0, 0, 1]
    for row, samples in zip(outputs, rows, strict=True):
        frames = layer.num_frames(len(samples))
        np.testing.assert_allclose(row[:frames], layer(samples[None])[0], rtol=0, atol=1e-5)
        assert (row[frames:] == 0).all()
    # Bit by bit where the shapes are equal.
    others = np.where(np.isnan(batch), np.float32(0.7), batch)
    others[1:] *= -0.3
    np.testing.assert_array_equal(layer(others, np.array(lengths))[0], outputs[0])


def test_the_gradient_is_that_of_small_steps_and_none_comes_from_padding():
    layer, lengths = LogMelSpectrogram(**SMALL, dtype="float64"), np.array([120, 75])
    x = tf.constant(noise([2, 140]), tf.float64)
    weights = np.random.default_rng(1).normal(size=[2, 5, 5])

    def loss(x):
        return tf.reduce_sum(weights * layer(x, lengths))

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    gradient = tape.gradient(value, x).numpy()
    # Row 0 has 4 frames of its 120 samples, the last of which ends at 110; row 1 has 2, up to 70.
    assert (gradient[0, 110:] == 0).all()
    assert (gradient[1, 70:] == 0).all()
    step = np.random.default_rng(2).normal(size=[2, 140]) * 1e-6
    slope = (loss(x + step) - loss(x - step)) / 2
    np.testing.assert_allclose(np.sum(gradient * step), slope, rtol=1e-6)
    # Silence has a finite gradient.
    with tf.GradientTape() as tape:
        tape.watch(silence := tf.zeros([1, 140]))
        value = tf.reduce_sum(LogMelSpectrogram(**SMALL)(silence))
    assert (tape.gradient(value, silence).numpy() == 0).all()


def test_half_precision_rounds_only_the_result():
    x = noise([1, 400])
    half = LogMelSpectrogram(**SMALL, dtype="mixed_bfloat16")(x)
    assert half.dtype == tf.bfloat16
    np.testing.assert_array_equal(half, tf.cast(LogMelSpectrogram(**SMALL)(x), tf.bfloat16))


def test_any_number_of_samples_is_traced_once():
    layer = LogMelSpectrogram(**SMALL)
    inputs = keras.Input((None,))
    assert layer(inputs).shape == (None, None, 5)
    call = tf.function(layer, input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)])
    assert call(np.zeros([0, 100], "float32"), np.zeros([0], "int32")).shape == (0, 3, 5)
    assert call(np.zeros([3, 0], "float32"), np.zeros([3], "int32")).shape == (3, 0, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_stride": 0}, "`sequence_stride` must be a positive integer. Received: sequence_stride=0"),
        ({"fft_length": 49}, "`fft_length` must be at least `sequence_length`. Received: fft_length=49"),
        ({"mel_scale": "bark"}, r"`mel_scale` must be one of \['htk', 'slaney'\]. Received: mel_scale='bark'"),
        ({"norm": "l2"}, "`norm` must be None or 'slaney'. Received: norm='l2'"),
        ({"epsilon": 0.0}, "`epsilon` must be a positive number. Received: epsilon=0.0"),
        ({"max_freq": 5000.0}, "half the sampling rate, 4000. Received: min_freq=0.0, max_freq=5000.0"),
        ({"min_freq": 300.0, "max_freq": 300.0}, "must be increasing"),
        (
            {"num_mel_bins": 40},
            "`num_mel_bins` must be so small .* band 0, from 0.0 to 68.1 Hz, has none. Received: num",
        ),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        LogMelSpectrogram(**{**SMALL, **options})


def test_inputs_must_be_rows_of_floats():
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[B,L\]. Received: inputs.shape=\(3,\)"):
        LogMelSpectrogram(**SMALL)(np.zeros([3], "float32"))
    with pytest.raises(ValueError, match=r"`inputs` must be floats in \[-1, 1\]. Received: inputs.dtype=int16"):
        LogMelSpectrogram(**SMALL)(np.zeros([1, 300], "int16"))
