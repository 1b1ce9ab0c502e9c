"""Samples of 16 bits, as stores keep them: from waveforms, to waveforms, and as WAV files. Imports no TensorFlow."""

import io
import wave

import numpy as np

FULL_SCALE = 1 << 15
"""Sample of a waveform's value of 1."""


def from_waveform(waveform: np.ndarray) -> np.ndarray:
    """Returns a waveform, floats in [-1, 1], as int16; values beyond are clipped."""
    return np.clip(np.round(FULL_SCALE * waveform), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_waveform(samples: np.ndarray) -> np.ndarray:
    """Returns samples, int16, as float32 in [-1, 1)."""
    return samples.astype(np.float32) / FULL_SCALE


def wav_file(samples: np.ndarray, rate: int) -> bytes:
    """Returns the bytes of a WAV file with samples int16 `[L]`."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def shortened(file: bytes, max_seconds: float) -> bytes:
    """Returns the beginning of a file that `wav_file` made, of at most `max_seconds`."""
    with wave.open(io.BytesIO(file)) as reader:
        rate = reader.getframerate()
        return wav_file(np.frombuffer(reader.readframes(int(max_seconds * rate)), "<i2"), rate)
