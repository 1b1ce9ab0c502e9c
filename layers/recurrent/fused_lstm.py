"""`FusedLSTM`: Keras's LSTM on `ikelos.kernels.lstm`."""

import keras

from ikelos import kernels
from ikelos.layers.drop_in import drop_in
from ikelos.layers.recurrent import fused


@drop_in
class FusedLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` on `ikelos.kernels.lstm`, which processes the whole sequence in one op (Hochreiter &
    Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Arguments, weights, weight files, masks, states and results are those of the stock layer, and each accepts the
    other's config. The code of the stock layer runs for activations other than tanh and sigmoid, `unroll=True`,
    `use_cudnn=True`, `dropout` in training with `implementation=1` (which `recurrent_dropout` implies), and a `cell`
    whose `call` is not that of the stock cell.

    With `use_cudnn="auto"` on a machine with a GPU, sequences without a mask run in the stock layer too, which passes
    the whole sequence to cuDNN. XLA cannot compile cuDNN, and a graph with cuDNN needs a GPU;
    `ikelos.kernels.use("reference")` or `use_cudnn=False` keeps the op.

    NaN or infinity at a masked step affects no other step and no gradient; in the stock layer it spreads to the
    gradients.

    To be faster, the native kernel saves nothing for the gradient unless `training=True`. Without `training=True` the
    gradient is still correct, but processes the sequence once more.

    `ikelos.layers.convert` replaces the stock layers of a model by fused ones, and back. `FusedLSTMCell` computes
    single steps.

    Input shape: `[B,T,D]`.

    Output shape: `[B,U]`, or `[B,T,U]` with `return_sequences=True`; with `return_state=True` followed by the hidden
    and the cell state, `[B,U]` each.

    Example:

    >>> layer = FusedLSTM(8, return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 5, 8])
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Computes all steps. `keras.layers.RNN.call` calls this method."""
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        if not fused.layer_fits(self, "lstm", mask, training):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        outputs, states = kernels.lstm(
            **fused.layer_arguments(self, sequences, initial_state[0], mask, training),
            initial_state=tuple(fused.broadcast_to_batch(state, sequences) for state in initial_state),
        )
        return fused.layer_results(outputs, states, mask)

    def get_config(self):
        """Returns the constructor's arguments; the stock layer leaves out `use_cudnn` and `implementation`."""
        return {**super().get_config(), "use_cudnn": self.use_cudnn, "implementation": self.cell.implementation}
