import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from ikelos.pipelines.audio import reading, signatures
from ikelos.pipelines.errors import UserError
from ikelos.serving import Signature, export


def written(samples, rate, format="WAV", **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, **options)
    return file.getvalue()


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape)


FILES = [
    written(noise([1000, 2]), 44100, subtype="PCM_24"),
    written(noise([0]), 8000),
    written(noise([777]), 16000, subtype="FLOAT"),
    written(noise([150]), 8000, subtype="PCM_U8"),
]
"""Files whose waveforms at 16,000 samples per second have these lengths."""
LENGTHS = [363, 0, 777, 300]


def test_files_are_read_as_in_a_server(tmp_path):
    def function(audio_bytes):
        waveform, lengths = signatures.decoded(audio_bytes, 16000, 5.0)
        return {"waveform": waveform, "lengths": lengths}

    spec = tf.TensorSpec([None], tf.string)
    signature = Signature("decode", function, {"audio_bytes": spec}, {"audio_bytes": FILES}, "Decodes WAV files.")
    found = tf.function(function, input_signature=[spec])(tf.constant(FILES))
    assert found["lengths"].numpy().tolist() == LENGTHS
    assert found["waveform"].shape == (4, 777)
    for row, file, length in zip(found["waveform"].numpy(), FILES, LENGTHS, strict=True):
        np.testing.assert_array_equal(row[:length], reading.waveform(file, 16000, 5.0))
        assert (row[length:] == 0).all()
    export(tmp_path, tf.Module(), [signature])
    empty = function(tf.constant([], tf.string))
    assert (empty["waveform"].shape, empty["lengths"].shape) == ((0, 0), (0,))


def test_flac_is_read_like_the_wav_file_of_the_same_samples(tmp_path):
    # As integers, because libsndfile rounds floats differently for the two formats.
    samples = (30_000 * noise([1200, 2])).astype("int16")
    (path := tmp_path / "a.flac").write_bytes(written(samples, 22050, "FLAC", subtype="PCM_16"))
    expected = reading.waveform(written(samples, 22050, subtype="PCM_16"), 8000, 5.0)
    np.testing.assert_array_equal(reading.waveform(path, 8000, 5.0), expected)


def test_faulty_flac_files_are_described():
    file = written(noise([12_000]), 8000, "FLAC")
    with pytest.raises(reading.AudioFault) as error:
        reading.waveform(file, 8000, 1.4)
    assert (error.value.kind, error.value.why) == ("not a usable audio file", "is longer than 1.4 seconds")
    for broken in (file[:20], b"fLaC" + b"\7" * 100):
        with pytest.raises(reading.AudioFault) as error:
            reading.waveform(broken, 8000, 5.0)
        assert "is damaged" in error.value.why
    with pytest.raises(reading.AudioFault, match="has 3000 samples per second, not 4000 to 192000"):
        reading.waveform(written(noise([10]), 3000, "FLAC"), 8000, 1.0)


def test_a_truncated_flac_file_is_damaged():
    file = written(noise([12_000]), 8000, "FLAC")
    with pytest.raises(reading.AudioFault) as error:
        reading.waveform(file[: len(file) // 2], 8000, 5.0)
    assert "is damaged" in error.value.why


def test_a_file_that_cannot_be_opened_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none.wav: No such file"):
        reading.waveform(tmp_path / "none.wav", 8000, 1.0)


def test_a_request_with_a_broken_file_gets_one_error():
    decoded = tf.function(signatures.decoded)  # Eager execution adds lines to the error.
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`audio_bytes` must be WAV files.(.|\n)*a truncated WAV"):
        decoded(tf.constant([*FILES[:2], FILES[2][:-5]]), 16000, 5.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"seconds long, more than 0.01"):
        decoded(tf.constant(FILES), 16000, 0.01)
