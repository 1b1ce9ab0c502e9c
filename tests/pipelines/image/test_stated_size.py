import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.headers import FORMATS
from ikelos.pipelines.image.stated_size import stated_size

HEIGHT, WIDTH = 259, 1030  # more than a byte, and different
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, [HEIGHT, WIDTH, 3]).astype(np.uint8))
SMALL = (8, 8, 1)


def saved(kind, picture=PICTURE, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


FILES = {
    "PNG": saved("PNG"),
    "JPEG": saved("JPEG"),
    "JPEG progressive": saved("JPEG", progressive=True),
    "GIF": saved("GIF"),
    "BMP": saved("BMP"),
    "WebP": saved("WebP"),
    "WebP lossless": saved("WebP", lossless=True),
    "WebP extended": saved("WebP", exif=Image.Exif().tobytes() + b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "WebP transparent": saved("WebP", PICTURE.convert("RGBA").rotate(1)),
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_the_size_of_the_pixels(name):
    number = tf.constant(FORMATS.index(name.split()[0]))
    assert stated_size(number, tf.constant(FILES[name])).numpy().tolist() == [HEIGHT, WIDTH]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_up_to_the_limit(name):
    file = tf.constant(FILES[name])
    problem, size, _ = decoding.read(file, SMALL, max_pixels=HEIGHT * WIDTH)
    assert (problem.numpy(), size.numpy().tolist()) == (b"", [HEIGHT, WIDTH])
    problem, _, pixels = decoding.read(file, SMALL, max_pixels=HEIGHT * WIDTH - 1)
    assert problem.numpy().decode() == f"an image of {HEIGHT * WIDTH} pixels, more than {HEIGHT * WIDTH - 1}"
    assert not pixels.numpy().any()


def test_a_short_file_states_some_size():
    for number in (0, 2, 3, 4):
        assert stated_size(tf.constant(number), tf.constant(b"")).shape == (2,)
