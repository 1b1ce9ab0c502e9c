"""Which backend of Keras the layers run on: TensorFlow's. Importing this is the check."""

import os

try:
    import keras

    _BACKEND, _CAUSE = keras.backend.backend(), None
except ImportError as error:
    if error.name == "keras":
        raise
    # Keras cannot be imported with a backend that is not installed.
    _BACKEND, _CAUSE = os.environ.get("KERAS_BACKEND", "unknown"), error

if _BACKEND != "tensorflow":
    raise ImportError(
        "The backend of Keras must be 'tensorflow' for Ikelos: set the environment variable KERAS_BACKEND to it, or "
        f"`backend` in the file keras.json. Received: backend={_BACKEND!r}"
    ) from _CAUSE
