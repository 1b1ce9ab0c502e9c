"""Decodes image files to pixels of one shape, in the graph, with the same code for training, prediction and serving.

The result is the image as a viewer shows it on a white page: upright, whatever the camera's orientation, with
transparent parts white. Values are taken as sRGB: colour profiles and a PNG's gamma are ignored, as by other libraries
of training data.
"""

import tensorflow as tf

from ikelos.pipelines.image.config import Shape
from ikelos.pipelines.image.headers import ALL_FORMATS, FORMATS, inspect
from ikelos.pipelines.image.stated_size import stated_size

__all__ = ["ALL_FORMATS", "FORMATS", "fit", "inspect", "read", "to_rgb"]

# Weights of red, green and blue in grey, by ITU-R BT.601, in units of 1/65,536. They are Pillow's.
_LUMA = (19595, 38470, 7471)


@tf.function(autograph=False)
def read(file: tf.Tensor, shape: Shape, max_pixels: int | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes an image file and brings it to a shape.

    Args:
        file: string, any bytes.
        shape: Shape (H, W, C) of the result.
        max_pixels: Most pixels of a file, by its header: one with more is rejected before it is decoded. None for any
            number.

    Returns:
        The problem, a string that describes a rejected file or is empty; the original height and width, int32 `[2]`;
        and the pixels, uint8 `[H,W,C]`.

    Raises:
        tf.errors.InvalidArgumentError: When run, if the file is truncated or damaged.
    """
    header = inspect(file)
    problem = header.problem
    if max_pixels is not None:
        size = tf.cond(problem == "", lambda: stated_size(header.format, file), lambda: tf.zeros([2], tf.int64))
        too_many = tf.strings.format(f"an image of {{}} pixels, more than {max_pixels}", [tf.reduce_prod(size)])
        problem = tf.where(tf.reduce_prod(size) > max_pixels, too_many, problem)
    pixels = tf.cond(problem == "", lambda: _decoded(header), lambda: tf.zeros([1, 1, 3], tf.uint8))
    pixels = tf.cond(header.orientation > 1, lambda: _upright(pixels, header.orientation), lambda: pixels)
    return problem, tf.shape(pixels)[:2], fit(tf.ensure_shape(pixels, [None, None, 3]), shape)


def _decoded(header):
    file = header.content
    return tf.switch_case(
        header.format,
        [
            lambda: _png(file, header.transparent),
            lambda: _jpeg(file),
            lambda: tf.io.decode_gif(file)[0],
            lambda: _bmp(file),
            lambda: _webp(file),
        ],
    )


def to_rgb(pixels: tf.Tensor) -> tf.Tensor:
    """Converts pixels uint8 `[H,W,C]`, grey or RGB with or without opacity, to RGB on white."""
    channels = pixels.shape[-1]
    if channels in (2, 4):
        wide = tf.cast(pixels, tf.int32)
        opacity = wide[..., -1:]
        pixels = tf.cast((wide[..., :-1] * opacity + 255 * (255 - opacity) + 127) // 255, tf.uint8)
    return pixels if channels > 2 else tf.repeat(pixels, 3, axis=-1)


@tf.function(reduce_retracing=True, autograph=False)
def fit(pixels: tf.Tensor, shape: Shape) -> tf.Tensor:
    """Brings RGB pixels, uint8 of any size, to a shape `(H, W, C)`: grey if C = 1, and resized with antialiasing."""
    if shape[2] == 1:
        weighed = tf.cast(pixels, tf.int32) * _LUMA
        pixels = tf.cast((tf.reduce_sum(weighed, -1, keepdims=True) + (1 << 15)) // (1 << 16), tf.uint8)

    def resized():
        found = tf.image.resize(pixels, shape[:2], antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(found, 0, 255)), tf.uint8)

    fits = tf.reduce_all(tf.shape(pixels)[:2] == shape[:2])
    return tf.ensure_shape(tf.cond(fits, lambda: pixels, resized), shape)


def _png(file, is_transparent):
    # Never decoded as grey: libpng would weight the colours by the file's chunks. And with opacity only if the file has
    # any: TensorFlow makes images of 1, 2 or 4 bits almost transparent.
    return tf.cond(
        is_transparent,
        lambda: to_rgb(tf.io.decode_png(file, channels=4)),
        lambda: tf.io.decode_png(file, channels=3),
    )


def _jpeg(file):
    # With the number of channels of the file (3 for CMYK): asked for 1 channel, TensorFlow rejects CMYK files.
    found = tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE")
    return tf.broadcast_to(found, [*tf.unstack(tf.shape(found)[:2]), 3])


def _bmp(file):
    found = tf.io.decode_bmp(file)

    def by_palette():  # TensorFlow returns indices of the palette
        data = tf.io.decode_raw(file, tf.uint8)
        end, header = (tf.io.decode_raw(tf.strings.substr(file, place, 4), tf.int32)[0] for place in (10, 14))
        start = 14 + header
        palette = tf.gather(tf.reshape(data[start : start + (end - start) // 4 * 4], [-1, 4]), [2, 1, 0], axis=1)
        return tf.gather(palette, tf.cast(found[..., 0], tf.int32))

    # The fourth byte of a 32-bit pixel has no meaning.
    return tf.cond(tf.shape(found)[2] == 1, by_palette, lambda: found[..., :3])


def _webp(file):
    found = tf.io.decode_webp(file)[0]
    return tf.cond(
        tf.shape(found)[2] == 4,
        lambda: to_rgb(tf.ensure_shape(found, [None, None, 4])),
        lambda: tf.ensure_shape(found, [None, None, 3]),
    )


def _upright(pixels, orientation):
    """Turns pixels upright, given one of Exif's eight orientations."""
    pixels = tf.transpose(pixels, tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2]))
    mirrored = tf.stack([tf.reduce_any(orientation == values) for values in ([3, 4, 7, 8], [2, 3, 6, 7])])
    return tf.reverse(pixels, tf.boolean_mask([0, 1], mirrored))
