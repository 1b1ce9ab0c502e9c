"""Matrices that a SavedModel stores in fewer bits than float32. Imports TensorFlow."""

import uuid
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class StoredWeight(tf.saved_model.experimental.TrackableResource):
    """A float32 variable that a SavedModel stores in another format.

    A server computes the float32 values once, when it loads the version and initialises its tables. Casts in the
    functions would cost as much as reading all weights with each call, and as much again in every step of a loop.

    A version that TensorFlow loads in Python keeps these values until the process ends, because its functions may
    outlive the loaded object. It cannot be saved again or trained: the stored variables are gone.

    Args:
        variable: The tf.Variable that the functions use.
        arrays: What the format stores for it (`ikelos.serving.weights.encode`).

    Attributes:
        stored: The variables with the values in that format. The module to save must contain them.
    """

    def __init__(self, variable: tf.Variable, arrays: Sequence[np.ndarray]):
        super().__init__()
        self._variable = variable
        self.stored = [tf.Variable(array, trainable=False) for array in arrays]
        # TensorFlow in Python finds the variables of all loaded models by their names: no two may have the same.
        self._shared_name = f"stored_weight_{uuid.uuid4().hex}"
        self._resource_handle = variable.handle  # which the functions have captured

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=self._variable.shape, shared_name=self._shared_name)

    def _initialize(self):
        value, *scale = (tf.cast(stored.read_value(), tf.float32) for stored in self.stored)
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=value * scale[0] if scale else value)
        # Their memory is free for the first requests.
        for stored in self.stored:
            tf.raw_ops.DestroyResourceOp(resource=stored.handle)
