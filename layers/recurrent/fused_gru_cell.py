"""`FusedGRUCell`: Keras's GRU cell on `ikelos.kernels.gru`."""

import keras

from ikelos import kernels
from ikelos.layers.drop_in import drop_in
from ikelos.layers.recurrent import fused


@drop_in
class FusedGRUCell(keras.layers.GRUCell):
    """`keras.layers.GRUCell` on `ikelos.kernels.gru`, which computes a step of a stream in one op
    (Cho et al. 2014, https://arxiv.org/abs/1406.1078).

    Whole sequences are faster in `FusedGRU`, whose `cell` has the same weights in the same order.

    Arguments, weights, weight files, states and results are those of the stock cell. The code of the stock cell runs in
    training, if there is no native kernel, and if the activations are not tanh and sigmoid. The op makes eager steps
    faster; in a `tf.function` a step takes about as long as in the stock cell.

    Input shape: `[B,D]`, and the hidden state `[B,U]`, alone or in a list.

    Output shape: the hidden state `[B,U]`, twice; the second is in a list if the state was given in one.

    Example:

    >>> cell = FusedGRUCell(8)
    >>> states = cell.get_initial_state(batch_size=2)
    >>> output, states = cell(keras.ops.ones((2, 3)), states)
    >>> output.shape
    TensorShape([2, 8])
    """

    def call(self, inputs, states, training=False):
        """Computes one step."""
        if not fused.step_fits(self, "gru", inputs, training):
            return super().call(inputs, states, training=training)
        in_list = isinstance(states, list | tuple)
        before = fused.broadcast_to_batch(states[0] if in_list else states, inputs)
        _, hidden = kernels.gru(
            **fused.step_arguments(self, inputs), initial_state=before, reset_after=self.reset_after
        )
        return hidden, [hidden] if in_list else hidden

    def get_config(self):
        """Returns the constructor's arguments; the stock cell leaves out `implementation`."""
        return {**super().get_config(), "implementation": self.implementation}
