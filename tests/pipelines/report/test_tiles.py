import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ikelos.pipelines.report.tiles import film_uri, tiled


def test_images_lie_in_rows_with_gaps():
    images = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones([4, 5, 3], np.uint8)
    picture = tiled(images)
    assert picture.shape == (2 * 4 + 2, 3 * 5 + 4, 3)
    np.testing.assert_array_equal(picture[:4, 7:12], np.full([4, 5, 3], 1))
    np.testing.assert_array_equal(picture[6:, 14:], np.full([4, 5, 3], 5))
    np.testing.assert_array_equal(picture[4:6], np.full([2, 19, 3], 128))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 1, 2, 2), "uint8"), ((1, 1, 2, 2, 2), "uint8"), ((0, 1, 2, 2, 1), "uint8"), ((1, 1, 2, 2, 1), "float32")],
)
def test_refuses_what_is_no_images(shape, dtype):
    with pytest.raises(ValueError, match=r"`images` must be uint8 \[rows, columns, H, W, 1 or 3\].*Received: "):
        tiled(np.zeros(shape, dtype))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_shows_its_frames_as_they_are(channels):
    frames = np.random.default_rng(0).integers(0, 256, [3, 4, 5, channels]).astype(np.uint8)
    kind, _, content = film_uri(frames).partition(",")
    assert kind == "data:image/webp;base64"
    film = Image.open(io.BytesIO(base64.b64decode(content)))
    found = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)])
    np.testing.assert_array_equal(found, np.broadcast_to(frames, [3, 4, 5, 3]))
