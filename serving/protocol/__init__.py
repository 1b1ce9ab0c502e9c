"""TensorFlow Serving's protocol without TensorFlow: messages, tensors as NumPy arrays, bodies of the REST API."""
