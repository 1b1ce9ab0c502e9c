"""A server for a laptop and for tests, which speaks TensorFlow Serving's protocols over the same folders.

It runs models in TensorFlow's C library, and has a page for people. In production, use TensorFlow Serving.
"""

from ikelos.serving.server.discovery import check_path, find_models
from ikelos.serving.server.run import CannotServe, run, serve
from ikelos.serving.server.settings import Settings

__all__ = ["CannotServe", "Settings", "check_path", "find_models", "run", "serve"]
