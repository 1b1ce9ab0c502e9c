import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import LSTMSpeechModel

SETTINGS = {
    "vocabulary_size": 9,
    "num_layers": 2,
    "size": 6,
    "sampling_rate": 8000,
    "sequence_length": 64,
    "sequence_stride": 32,
    "fft_length": 128,
    "num_mel_bins": 11,
    "filters": 3,
    "freq_mask_size": 2,
    "time_mask_share": 0.2,
    "freq_warp": 0.2,
    "time_warp": 0.1,
    "dropout": 0.1,
}
LENGTHS = [2000, 0, 1111, 63]


@pytest.fixture
def model():
    model = LSTMSpeechModel(**SETTINGS)
    model.build()
    return model


@pytest.fixture
def inputs():
    audio = np.random.default_rng(0).normal(size=[4, 2000], scale=0.1).astype("float32")
    return {"audio": audio * (np.arange(2000) < np.array(LENGTHS)[:, None]), "length": np.array(LENGTHS, "int32")}


def test_a_config_and_a_file_restore_it(model, inputs, tmp_path):
    config = model.get_config()
    assert {**SETTINGS, **config} == config
    assert LSTMSpeechModel.from_config(config).get_config() == config
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(inputs), model(inputs))


def test_a_row_depends_neither_on_other_rows_nor_on_its_padding(model, inputs):
    together = model(inputs).numpy()
    assert together.shape == model.compute_output_shape({"audio": (4, 2000), "length": (4,)})
    for row, length in enumerate(LENGTHS):
        alone = model({"audio": inputs["audio"][row : row + 1, :length], "length": inputs["length"][row : row + 1]})
        frames = model.num_frames(length)
        np.testing.assert_allclose(alone[0, :frames], together[row, :frames], atol=1e-5)


def test_the_number_of_frames_is_that_of_the_logits(model):
    for samples in (64, 65, 96, 128, 160, 192, 1999):
        audio = {"audio": tf.zeros([1, samples]), "length": tf.constant([samples])}
        assert model(audio).shape[1] == model.num_frames(samples) == model.num_frames(tf.constant([samples])).numpy()[0]
    assert model.num_frames(63) == 0


def test_bands_are_normalised_over_the_own_frames_of_a_row(model, inputs):
    spectrogram, frames = model.spectrogram(inputs)
    assert frames.numpy().tolist() == [61, 0, 33, 0]
    for row in (0, 2):
        own = spectrogram[row, : frames[row]].numpy()
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-4)
        assert not spectrogram[row, frames[row] :].numpy().any()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_normalisation_does_not_depend_on_the_policy_and_silence_is_0(model, policy):
    audio = np.random.default_rng(0).normal(size=[2, 160_000], scale=1e-3).astype("float32")
    audio[1] = 0
    inputs = {"audio": audio, "length": np.array([160_000, 160_000], "int32")}
    other = LSTMSpeechModel(**SETTINGS, dtype=policy)
    found, _ = other.spectrogram(inputs)
    assert found.dtype == other.compute_dtype
    np.testing.assert_allclose(tf.cast(found, tf.float32), model.spectrogram(inputs)[0], rtol=1e-2, atol=1e-3)
    assert not found[1].numpy().any()


def test_loudness_does_not_matter(model, inputs):
    inputs = {"audio": inputs["audio"][:1], "length": inputs["length"][:1]}
    louder = {**inputs, "audio": 8 * inputs["audio"]}
    np.testing.assert_allclose(model(louder), model(inputs), atol=2e-3)  # but for `epsilon` of the logarithm


def test_the_loss_is_that_of_keras_for_each_token(model, inputs):
    y = np.array([[3, 4, 4, 5], [0, 0, 0, 0], [7, 8, 0, 0], [0, 0, 0, 0]], "int32")
    logits = model(inputs)
    lengths = model.num_frames(tf.constant(LENGTHS))
    losses = keras.ops.ctc_loss(y[[0, 2]], tf.gather(logits, [0, 2]), [4, 2], tf.gather(lengths, [0, 2]), mask_index=0)
    weights = np.array([4.0, 0.0, 2.0, 0.0], "float32")
    found = model.compute_loss(inputs, y, logits, weights)
    np.testing.assert_allclose(found, tf.reduce_sum(losses) / 6, rtol=1e-5)


def test_it_learns_on_native_kernels(model, inputs):
    rows = {name: values[[0, 2]] for name, values in inputs.items()}
    y = np.array([[3, 4, 5], [7, 8, 0]], "int32")
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    with kernels.use("native"):
        first = model.train_on_batch(rows, y)
        for _ in range(7):
            last = model.train_on_batch(rows, y)
    assert last < first
    for weight in model.trainable_variables:
        assert np.isfinite(weight.numpy()).all(), weight.path


def test_masks_and_dropout_are_for_training_alone(model, inputs):
    np.testing.assert_array_equal(model(inputs, training=False), model(inputs))
    assert np.abs(model(inputs, training=True) - model(inputs)).max() > 0


def test_a_row_is_warped_by_its_own_length_in_training(inputs):
    settings = {**SETTINGS, "freq_mask_size": 0, "time_mask_share": 0.0, "dropout": 0.0}
    plain, warped = (LSTMSpeechModel(**{**settings, "freq_warp": share, "time_warp": share}) for share in (0.0, 0.2))
    plain.build()
    warped.build()
    warped.set_weights(plain.get_weights())
    np.testing.assert_array_equal(plain(inputs, training=True), plain(inputs))
    assert np.abs(warped(inputs, training=True) - plain(inputs)).max() > 1e-3
    more = {**inputs, "audio": np.pad(inputs["audio"], [[0, 0], [0, 500]])}
    found = []
    for one in (inputs, more):
        warped.warp.seed_generator.state.assign([1, 2])
        found.append(warped(one, training=True)[0, : warped.num_frames(2000)])
    np.testing.assert_allclose(*found, atol=1e-5)


def test_logits_are_float32_under_every_policy(inputs):
    model = LSTMSpeechModel(**SETTINGS, dtype="mixed_bfloat16")
    assert model(inputs).dtype == tf.float32
    assert model.forward[0].compute_dtype == "bfloat16"
