"""`FusedRMSNormalization`: Keras's RMS normalisation on the native op."""

import keras

from ikelos import kernels
from ikelos.layers.drop_in import drop_in


@drop_in
class FusedRMSNormalization(keras.layers.RMSNormalization):
    """`keras.layers.RMSNormalization` on `ikelos.kernels.rms_norm` (Zhang & Sennrich 2019, equation 4).

    Arguments, weights and weight files are those of the stock layer. Normalisation over axes other than the
    last one runs the stock layer's own code. A Keras mask of the inputs is that of the outputs; the stock layer
    destroys it, with a warning, and goes on doing so once `ikelos.layers.convert` has made it this one.

    Args:
        axis: The axis to normalise over, or a list of axes.
        epsilon: Added to the mean square.

    Input and output shape: `[..., D]`.

    Example:

    >>> FusedRMSNormalization()(keras.ops.array([[3.0, 4.0]])).numpy().round(3)
    array([[0.849, 1.131]], dtype=float32)
    """

    def call(self, x):
        """Normalises `x [..., D]` over its last axis and scales it."""
        # `build` has made a list of the axis.
        if list(self.axis) not in ([-1], [len(x.shape) - 1]):
            return super().call(x)
        return kernels.rms_norm(x, self.scale, epsilon=self.epsilon)

    def compute_mask(self, inputs, previous_mask):
        """The inputs' mask: a Transformer's normalisations stand between padding and those who must know of it."""
        return previous_mask
