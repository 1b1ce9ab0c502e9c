"""Decodes the audio files of requests, in the graph."""

import tensorflow as tf

from ikelos.pipelines.audio import wav
from ikelos.pipelines.audio.resampling import resample


def decoded(files: tf.Tensor, sampling_rate: int, max_seconds: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes WAV files to waveforms of one channel and one rate, in the same way as `reading.waveform`.

    Args:
        files: string `[B]`, WAV files of any number of channels and any rate from 4 to 192 kHz.
        sampling_rate: Samples per second of the result.
        max_seconds: Longest duration of a file.

    Returns:
        The waveforms, float32 `[B,L]`, with zeros after the end of the shorter ones; and the number of samples of each,
        int32 `[B]`, which may be 0.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a file is not such a WAV file.
    """

    def one(row):
        problem, samples, rate = wav.read(files[row], max_seconds)
        is_wav = tf.debugging.Assert(
            problem == "", ["`audio_bytes` must be WAV files. Received in row", row, ":", problem], summarize=64
        )
        with tf.control_dependencies([is_wav]):
            return resample(samples, rate, sampling_rate)

    rows = tf.range(tf.size(files))
    # One after another, so that the weights for an odd rate, some 80 MB, are in memory once and not ten times.
    spec = tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0)
    found = tf.map_fn(one, rows, fn_output_signature=spec, parallel_iterations=1)
    return found.to_tensor(), tf.cast(found.row_lengths(), tf.int32)
