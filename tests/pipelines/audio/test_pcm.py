import io

import numpy as np
import soundfile

from ikelos.pipelines.audio import pcm


def test_samples_become_a_waveform_and_the_same_samples_again():
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    waveform = pcm.to_waveform(samples)
    np.testing.assert_array_equal(waveform, samples / np.float32(32768), strict=True)
    np.testing.assert_array_equal(pcm.from_waveform(waveform), samples, strict=True)


def test_values_beyond_full_scale_are_clipped():
    np.testing.assert_array_equal(pcm.from_waveform(np.array([-1.5, 1.0, 2.0])), [-32768, 32767, 32767])


def test_a_wav_file_has_the_samples_and_their_rate():
    samples = np.array([3, -4, 5], np.int16)
    found, rate = soundfile.read(io.BytesIO(pcm.wav_file(samples, 11025)), dtype="int16")
    assert rate == 11025
    np.testing.assert_array_equal(found, samples)
