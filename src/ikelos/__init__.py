"""Ikelos: sequence and generative models on TensorFlow and Keras 3.

Import what you need from `ikelos.layers`, `ikelos.kernels`, `ikelos.serving` or `ikelos.pipelines`.
"""

# The first two numbers are those of the TensorFlow that the native library is built for, as tensorflow-text has them,
# so that `pip install "ikelos==2.21.*"` gets what fits. The third counts our releases for it.
__version__ = "2.21.0"
