"""Files with images, sound and other bytes, as inputs and outputs of a signature.

TensorFlow Serving tells bytes from text by the name of an input or output, which then ends in `_bytes`.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ikelos.serving.protocol.rest import holds_bytes

# First bytes of files, and the suffixes of their names.
_SUFFIXES = {b"\x89PNG\r\n": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".wav"}


def with_contents(name: str, value: Any) -> Any:
    """Returns the value of an input, with the content of the file in place of each path if the input `holds_bytes`.

    Args:
        name: Name of the input.
        value: Its value: a path (str or `os.PathLike`), or nested lists with paths among other values.

    Raises:
        OSError: If a file cannot be read.
    """
    if not holds_bytes(name):
        return value
    if isinstance(value, list | tuple):
        return [with_contents(name, item) for item in value]
    return pathlib.Path(value).read_bytes() if isinstance(value, str | os.PathLike) else value


def save(folder: str | os.PathLike, outputs: Mapping[str, np.ndarray]) -> dict[tuple[str, int], pathlib.Path]:
    """Writes each row of the outputs of bytes to a file.

    Args:
        folder: Where to write; it is made if there is none.
        outputs: The outputs of a signature by name; only those that `holds_bytes` are written.

    Returns:
        The paths by name and row, such as `image-1.png` for the first row of `image_bytes`.

    Raises:
        OSError: If a file cannot be written.
    """
    paths = {}
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in outputs.items():
        for row, value in enumerate(array):
            if holds_bytes(name) and isinstance(value, bytes):
                suffix = next((suffix for magic, suffix in _SUFFIXES.items() if value.startswith(magic)), ".bin")
                paths[name, row] = folder / f"{name.removesuffix('_bytes')}-{row + 1}{suffix}"
                paths[name, row].write_bytes(value)
    return paths
