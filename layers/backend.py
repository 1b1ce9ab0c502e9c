"""Raises an `ImportError` on import unless Keras runs on the TensorFlow backend."""

import os

try:
    import keras

    _BACKEND, _CAUSE = keras.backend.backend(), None
except ImportError as error:
    if error.name == "keras":
        raise
    # Importing Keras fails if its backend is not installed.
    _BACKEND, _CAUSE = os.environ.get("KERAS_BACKEND", "unknown"), error

if _BACKEND != "tensorflow":
    raise ImportError(
        "The backend of Keras must be 'tensorflow' for Ikelos: set the environment variable KERAS_BACKEND to it, or "
        f"`backend` in the file keras.json. Received: backend={_BACKEND!r}"
    ) from _CAUSE
