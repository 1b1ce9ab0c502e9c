"""`FusedGRU`: Keras's GRU on `ikelos.kernels.gru`."""

import keras

from ikelos import kernels
from ikelos.layers.drop_in import drop_in
from ikelos.layers.recurrent import fused


@drop_in
class FusedGRU(keras.layers.GRU):
    """`keras.layers.GRU` on `ikelos.kernels.gru`, which works the whole sequence through in one op.

    After Cho et al. 2014, https://arxiv.org/abs/1406.1078.

    Arguments, weights, weight files, masks, states and results are those of the stock layer, and each takes the
    other's config. What the op does not do runs the stock layer's own code: activations other than tanh and sigmoid,
    `unroll=True`, `use_cudnn=True`, and `dropout` in training with `implementation=1`, which `recurrent_dropout`
    implies. So does `use_cudnn="auto"` where there is a GPU, for sequences without a mask: there cuDNN takes the whole
    sequence at once. XLA cannot compile cuDNN, and a graph with it needs a GPU; `ikelos.kernels.use("reference")` and
    `use_cudnn=False` keep the op. A `cell` whose `call` is not the stock cell's runs by the stock layer's own code too.

    NaN or infinity at a masked step reaches no other step and no gradient; in the stock layer it reaches the gradients.

    Called without `training=True` the native kernel keeps nothing for the gradient, to be faster; a gradient that is
    taken all the same is right, and works the sequence through once more.

    `ikelos.layers.convert` makes all stock layers of a model such ones, and back. Step by step: `FusedGRUCell`.

    Input shape: `[B,T,D]`. Output shape: `[B,U]`, or `[B,T,U]` with `return_sequences=True`; with
    `return_state=True` followed by the hidden state, `[B,U]`.

    Example:

    >>> layer = FusedGRU(8, return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 5, 8])
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the recurrence; called by `keras.layers.RNN.call`."""
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        if not fused.layer_fits(self, "gru", mask, training):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        outputs, hidden = kernels.gru(
            **fused.layer_arguments(self, sequences, initial_state[0], mask, training),
            initial_state=fused.of_rows(initial_state[0], sequences),
            reset_after=self.reset_after,
        )
        return fused.layer_results(outputs, [hidden], mask)

    def get_config(self):
        """The constructor's arguments; the stock layer leaves out `use_cudnn` and `implementation`."""
        return {**super().get_config(), "use_cudnn": self.use_cudnn, "implementation": self.cell.implementation}
