"""Decodes WAV files in the graph, with the same code for training, prediction and serving.

`tf.audio.decode_wav` reads 16 bits only, and fails on files with further chunks.
"""

from typing import NamedTuple

import tensorflow as tf

MIN_RATE, MAX_RATE = 4_000, 192_000
"""Samples per second of the files that are taken."""
_MAX_CHUNKS = 1_000
"""Number of chunks that are searched for the samples. A file of chunks without content would take minutes."""
_UNKNOWN_SIZE = 0x7FFFF000
"""Sizes from here on stand in files that were written to a pipe, whose end the writer did not know."""
_PADDING = 64
"""Zeros appended to a file, at least as many as are read at once from any place."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# Code and bits of each encoding.
_ENCODINGS = ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64))
# Other kinds of files: the offset of their magic bytes, the bytes, and the name of the kind.
_OTHERS = (
    (0, b"fLaC", "a FLAC file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"ID3", "an MP3 file"),
    (0, b"\xff\xfb", "an MP3 file"),
    (0, b"FORM", "an AIFF file"),
    (0, b"RIFX", "a big-endian WAV file"),
    (0, b"RF64", "an RF64 file"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, whose file has not been fetched"),
)


class Header(NamedTuple):
    """Properties of a file as scalar tensors.

    Attributes:
        problem: string, description of a file that is rejected, such as "truncated"; empty for one that can be decoded.
        encoding: int32, index of the samples' encoding.
        channels: int64, number of channels.
        rate: int32, samples per second.
        start: int64, offset of the first sample, in bytes.
        frames: int64, number of samples of each channel.
    """

    problem: tf.Tensor
    encoding: tf.Tensor
    channels: tf.Tensor
    rate: tf.Tensor
    start: tf.Tensor
    frames: tf.Tensor


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.float32)], autograph=False)
def read(file: tf.Tensor, max_seconds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes a WAV file to one channel, the mean of all.

    Integer samples are divided by 2 to the power of their bits minus 1. Floats stay as they are.

    Args:
        file: string, any bytes.
        max_seconds: float32, longest duration that is taken.

    Returns:
        The problem, a string that describes a rejected file or is empty; the waveform, float32 `[L]`, empty for a
        rejected file; and its samples per second, int32.
    """
    header = inspect(file)
    seconds = tf.cast(header.frames, tf.float32) / tf.cast(tf.maximum(header.rate, 1), tf.float32)
    too_long = tf.strings.format("{} seconds long, more than {}", [seconds, max_seconds])
    problem = tf.where((header.problem == "") & (seconds > max_seconds), too_long, header.problem)
    samples = tf.cond(problem == "", lambda: _samples(file, header), lambda: tf.zeros([0]))
    is_finite = tf.reduce_all(tf.math.is_finite(samples))
    problem = tf.where(is_finite, problem, "a WAV file with samples that are not finite")
    return problem, tf.cond(is_finite, lambda: samples, lambda: tf.zeros([0])), header.rate


def inspect(file: tf.Tensor) -> Header:
    """Returns the header of a file, a string of any bytes."""
    size = tf.cast(tf.strings.length(file), tf.int64)
    padded = file + b"\0" * _PADDING

    def number(place, count):
        """Returns a little-endian number of some bytes; bytes beyond the end are 0."""
        found = tf.strings.substr(padded, tf.cast(tf.minimum(place, size), tf.int32), count)
        digits = tf.cast(tf.io.decode_raw(found, tf.uint8), tf.int64)
        return tf.reduce_sum(digits * tf.constant([256**power for power in range(count)], tf.int64))

    def chunk(walked, place, form, start, length):
        kind, content = number(place, 4), number(place + 4, 4)
        is_data = kind == _tag(b"data")
        form = tf.where((kind == _tag(b"fmt ")) & (form == 0), place + 8, form)
        start = tf.where(is_data, place + 8, start)
        # Chunks begin at even offsets.
        return walked + 1, place + 8 + content + content % 2, form, start, tf.where(is_data, content, length)

    zero = tf.constant(0, tf.int64)
    is_wav = (number(zero, 4) == _tag(b"RIFF")) & (number(zero + 8, 4) == _tag(b"WAVE"))
    walked, _, form, start, length = tf.while_loop(
        lambda walked, place, form, start, _: is_wav & (start == 0) & (place + 8 <= size) & (walked < _MAX_CHUNKS),
        chunk,
        (zero, zero + 12, zero, zero, zero),
    )
    code, channels, bits = number(form, 2), number(form + 2, 2), number(form + 14, 2)
    rate, frame_size = number(form + 4, 4), number(form + 12, 2)
    # An extensible header has the code in the first bytes of an identifier.
    code = tf.where((code == _EXTENSIBLE) & (number(form - 4, 4) >= 40), number(form + 24, 2), code)
    matches = tf.reduce_all(tf.constant(_ENCODINGS, tf.int64) == tf.stack([code, bits]), axis=1)
    # A recorder that ended early leaves a size of 0, with samples behind it instead of a chunk.
    letters = tf.io.decode_raw(tf.strings.substr(padded, tf.cast(tf.minimum(start, size), tf.int32), 4), tf.uint8)
    has_next = tf.reduce_all((letters >= 32) & (letters < 127)) & (start + 8 + number(start + 4, 4) <= size)
    length = tf.where((length >= _UNKNOWN_SIZE) | ((length == 0) & ~has_next), size - start, length)

    problem = tf.constant("")
    # The last check that fails decides, so they are in reverse order.
    for fails, description in (
        (start + length > size, "a truncated WAV file"),
        (frame_size * 8 != channels * bits, "a WAV file with a damaged header"),
        (
            (rate < MIN_RATE) | (rate > MAX_RATE),
            tf.strings.format(f"a WAV file with {{}} samples per second, not {MIN_RATE} to {MAX_RATE}", [rate]),
        ),
        (channels == 0, "a WAV file without channels"),
        (
            ~tf.reduce_any(matches),
            tf.strings.format(
                "a WAV file with encoding {} of {} bits, not PCM (1) of 8, 16, 24 or 32 bits or floats (3) of 32 or 64",
                [code, bits],
            ),
        ),
        (start == 0, "a WAV file without samples"),
        (form == 0, "a WAV file without a header"),
        ((walked == _MAX_CHUNKS) & (start == 0), f"a WAV file with {_MAX_CHUNKS} chunks before its samples"),
        (~is_wav, _other(file)),
    ):
        problem = tf.where(fails, description, problem)
    return Header(
        problem=problem,
        encoding=tf.argmax(matches, output_type=tf.int32),
        channels=channels,
        rate=tf.cast(tf.minimum(rate, MAX_RATE + 1), tf.int32),
        start=start,
        # Bytes after the last whole frame are ignored.
        frames=length // tf.maximum(frame_size, 1),
    )


def _samples(file, header):
    """Returns the mean of the channels, float32 `[L]`."""
    widths = tf.constant([bits // 8 for _, bits in _ENCODINGS], tf.int64)
    count = header.frames * header.channels * tf.gather(widths, header.encoding)
    data = tf.strings.substr(file, tf.cast(header.start, tf.int32), tf.cast(count, tf.int32))

    def integers(dtype, scale, offset=0.0):
        return lambda: (tf.cast(tf.io.decode_raw(data, dtype), tf.float32) - offset) / scale

    def of_24_bits():
        low, middle, high = tf.unstack(tf.reshape(tf.io.decode_raw(data, tf.uint8), [-1, 3]), axis=1)
        high = tf.cast(tf.bitcast(high, tf.int8), tf.int32)
        return tf.cast(tf.cast(low, tf.int32) + 256 * (tf.cast(middle, tf.int32) + 256 * high), tf.float32) / 2.0**23

    samples = tf.switch_case(
        header.encoding,
        [
            integers(tf.uint8, 2.0**7, 2.0**7),
            integers(tf.int16, 2.0**15),
            of_24_bits,
            integers(tf.int32, 2.0**31),
            lambda: tf.io.decode_raw(data, tf.float32),
            lambda: tf.cast(tf.io.decode_raw(data, tf.float64), tf.float32),
        ],
    )
    return to_mono(tf.reshape(samples, [header.frames, header.channels]))


def to_mono(samples: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the channels of samples `[L,channels]`."""
    return tf.reduce_mean(samples, axis=1)


def _tag(name):
    return int.from_bytes(name, "little")


def _other(file):
    """Describes a file that is no WAV file."""
    found = tf.constant("a file of another kind")
    for place, magic, name in _OTHERS:
        found = tf.where(tf.strings.substr(file + b"\0" * _PADDING, place, len(magic)) == magic, name, found)
    return tf.where(tf.strings.length(file) == 0, "empty", found)
