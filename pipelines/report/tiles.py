"""Small images joined into one picture, and pictures as data URIs."""

import base64
import io

import numpy as np
from markupsafe import Markup
from PIL import Image

_GAP = 2  # pixels between two images
_FRAME, _LAST_FRAME = 400, 3000  # milliseconds that each frame of a film is shown
_SHADE = 128  # grey of the gaps: most images have black or white edges


def tiled(images: np.ndarray) -> np.ndarray:
    """Joins images in rows and columns into one picture, with thin grey lines between them.

    Args:
        images: uint8 `[rows, columns, H, W, C]`.

    Returns:
        uint8 `[height, width, C]`.

    Raises:
        ValueError: If there are no images, or they have another number of dimensions or channels, or another dtype.
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


def film_uri(frames: np.ndarray) -> Markup:
    """Returns frames, uint8 `[frames,H,W,C]`, as the data URI of an animated image.

    It repeats, and its last frame is shown longer.
    """
    file = io.BytesIO()
    pictures = [_picture(frame) for frame in frames]
    durations = [_FRAME] * (len(pictures) - 1) + [_LAST_FRAME]
    pictures[0].save(file, "webp", save_all=True, append_images=pictures[1:], duration=durations, loop=0, lossless=True)
    return _uri("webp", file)


def png_uri(picture: np.ndarray) -> Markup:
    """Returns a picture, uint8 `[H,W,C]`, as the data URI of an image."""
    file = io.BytesIO()
    _picture(picture).save(file, "png")
    return _uri("png", file)


def _picture(pixels):
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def _uri(kind, file):
    return Markup(f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode())
