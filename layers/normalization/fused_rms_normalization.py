"""`FusedRMSNormalization`: Keras's RMS normalisation on `ikelos.kernels.rms_norm`."""

import keras

from ikelos import kernels
from ikelos.layers.drop_in import drop_in


@drop_in
class FusedRMSNormalization(keras.layers.RMSNormalization):
    """`keras.layers.RMSNormalization` on `ikelos.kernels.rms_norm` (Zhang & Sennrich 2019, equation 4).

    Arguments, weights and weight files are those of the stock layer. For axes other than the last one, the
    code of the stock layer runs. The outputs have the Keras mask of the inputs. The stock layer drops the mask, with a
    warning, and so does a stock layer that `ikelos.layers.convert` has replaced by this one.

    Args:
        axis: Axis to normalise over, or a list of axes.
        epsilon: Number added to the mean square.

    Input and output shape: `[..., D]`.

    Example:

    >>> FusedRMSNormalization()(keras.ops.array([[3.0, 4.0]])).numpy().round(3)
    array([[0.849, 1.131]], dtype=float32)
    """

    def call(self, x):
        """Normalises `x [..., D]` over its last axis and scales it."""
        # `build` turns the axis into a list.
        if list(self.axis) not in ([-1], [len(x.shape) - 1]):
            return super().call(x)
        return kernels.rms_norm(x, self.scale, epsilon=self.epsilon)

    def compute_mask(self, inputs, previous_mask):
        """Returns the mask of the inputs, because later layers, such as a Transformer's attention, need the mask."""
        return previous_mask
