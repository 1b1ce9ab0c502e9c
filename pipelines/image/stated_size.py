"""The size of an image as its file states it, read in the graph without decoding the pixels.

A file of a few kilobytes can state 65,535 x 65,535 pixels, for which a decoder would ask for 12 GB.
"""

import tensorflow as tf

_WEBP_LOSSY, _WEBP_LOSSLESS = b"VP8 ", b"VP8L"


def stated_size(number: tf.Tensor, file: tf.Tensor) -> tf.Tensor:
    """Returns the height and the width that a file states, int64 `[2]`.

    Args:
        number: Index of the file's format in `ikelos.pipelines.image.headers.FORMATS`.
        file: string, a file of this format.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a JPEG file has no size.
    """
    head = tf.cast(tf.io.decode_raw(file, tf.uint8, fixed_length=32), tf.int64)  # zeros behind a shorter file

    def big(place):
        return tf.reduce_sum(head[place : place + 4] * [1 << 24, 1 << 16, 1 << 8, 1])

    def little(place, count):
        return tf.reduce_sum(head[place : place + count] * [1 << (8 * power) for power in range(count)])

    def signed(place):
        return tf.abs(tf.bitcast(tf.cast(little(place, 4), tf.uint32), tf.int32))

    def is_chunk(name):
        return tf.reduce_all(head[12:16] == list(name))

    def webp():
        lossy = [little(place, 2) & 0x3FFF for place in (28, 26)]
        bits = little(21, 4)
        lossless = [(bits // (1 << shift) & 0x3FFF) + 1 for shift in (14, 0)]
        extended = [little(place, 3) + 1 for place in (27, 24)]
        found = tf.where(is_chunk(_WEBP_LOSSLESS), lossless, extended)
        return tf.where(is_chunk(_WEBP_LOSSY), lossy, found)

    return tf.switch_case(
        number,
        [
            lambda: tf.stack([big(20), big(16)]),  # PNG
            lambda: tf.cast(tf.image.extract_jpeg_shape(file)[:2], tf.int64),
            lambda: tf.stack([little(8, 2), little(6, 2)]),  # GIF
            lambda: tf.cast(tf.stack([signed(22), signed(18)]), tf.int64),  # BMP, whose height is negative from the top
            webp,
        ],
    )
