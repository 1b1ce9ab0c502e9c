import numpy as np
import pytest

from ikelos.pipelines.report.tiles import tiled


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
