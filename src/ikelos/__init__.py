"""Ikelos: sequence and generative models on TensorFlow and Keras 3.

Import what you need from `ikelos.layers`, `ikelos.kernels`, `ikelos.serving` or `ikelos.pipelines`.
"""

__version__ = "0.1.0"
