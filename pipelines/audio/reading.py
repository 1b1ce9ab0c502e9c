"""Reads audio files as waveforms of one channel and one rate."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf

from ikelos.pipelines.audio import wav
from ikelos.pipelines.audio.resampling import resample
from ikelos.pipelines.audio.utterances import file_bytes

AUDIO_FILES = (".wav", ".flac", ".ogg")

_UNUSABLE = "not a usable audio file"
"""Kind of all faults of files."""


class AudioFault(Exception):  # noqa: N818, a fault of the data is counted, and need not end a run
    """An audio file that cannot be used.

    Attributes:
        kind: Kind of the fault, for counts.
        why: Description of the file, such as "is empty".
    """

    def __init__(self, kind: str, why: str):
        super().__init__(kind, why)
        self.kind, self.why = kind, why


def waveform(audio: Path | bytes, sampling_rate: int, max_seconds: float) -> np.ndarray:
    """Returns the waveform of an audio file, as `signatures.decoded` gives it in an exported model.

    WAV files are decoded by the code of exported models, others, such as FLAC, by libsndfile.

    Args:
        audio: Path or bytes of the file.
        sampling_rate: Samples per second of the result.
        max_seconds: Longest duration that is taken.

    Returns:
        float32 `[L]`, the mean of all channels.

    Raises:
        AudioFault: If the file is not an audio file, is damaged or is too long.
        UserError: If the file cannot be read at the moment, which is no fault of the audio.
    """
    content = file_bytes(audio)
    if content[:4] in (b"fLaC", b"OggS"):
        samples, rate = _of_sndfile(content, max_seconds)
    else:
        problem, samples, rate = wav.read(tf.constant(content), max_seconds)
        if why := problem.numpy().decode():
            raise AudioFault(_UNUSABLE, f"is {why}")
    return resample(samples, rate, sampling_rate).numpy()


def _of_sndfile(content, max_seconds):
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if not wav.MIN_RATE <= file.samplerate <= wav.MAX_RATE:
                raise AudioFault(
                    _UNUSABLE, f"has {file.samplerate} samples per second, not {wav.MIN_RATE} to {wav.MAX_RATE}"
                )
            # The header may be wrong, so the samples are counted as they come.
            most = int(max_seconds * file.samplerate)
            samples = file.read(most + 1, dtype="float32", always_2d=True)
            rate = file.samplerate
    except soundfile.LibsndfileError as error:
        raise AudioFault(_UNUSABLE, f"is damaged: {error.error_string}") from None
    if len(samples) > most:
        raise AudioFault(_UNUSABLE, f"is longer than {max_seconds:g} seconds")
    return wav.to_mono(tf.constant(samples)), rate
