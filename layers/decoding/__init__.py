"""Decoding loops and sampling, in plain TensorFlow."""

from ikelos.layers.decoding.generate import generate
from ikelos.layers.decoding.sampling import row_uniforms, sample

__all__ = ["generate", "row_uniforms", "sample"]
