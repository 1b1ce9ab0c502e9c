"""Many small images as one picture."""

import base64
import io

import numpy as np
from markupsafe import Markup
from PIL import Image

_GAP = 2  # pixels between two images
_SHADE = 128  # of the gaps: differs from the black and the white that most images end in


def tiled(images: np.ndarray) -> np.ndarray:
    """Images in rows and columns, with thin grey lines between them.

    Args:
        images: uint8 `[rows, columns, H, W, C]`.

    Returns:
        uint8 `[height, width, C]`.

    Raises:
        ValueError: if there are none, or they are of another shape or dtype.
    """
    if images.ndim != 5 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            "`images` must be uint8 [rows, columns, H, W, 1 or 3], at least one. "
            f"Received: {images.dtype} {list(images.shape)}"
        )
    rows, columns, height, width, channels = images.shape
    framed = np.full([rows, columns, height + _GAP, width + _GAP, channels], _SHADE, np.uint8)
    framed[:, :, :height, :width] = images
    joined = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + _GAP), columns * (width + _GAP), channels)
    return joined[:-_GAP, :-_GAP]


def png_uri(picture: np.ndarray) -> Markup:
    """A picture, uint8 `[H,W,C]`, as the address of an image in HTML that needs no file."""
    file = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(file, "png")
    return Markup("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
