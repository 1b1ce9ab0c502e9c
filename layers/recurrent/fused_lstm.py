"""`FusedLSTM`: Keras's LSTM on `ikelos.kernels.lstm`, a reference loop until its native kernel lands."""

import keras
import tensorflow as tf

from ikelos import kernels


@keras.saving.register_keras_serializable(package="ikelos")
class FusedLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` on `ikelos.kernels.lstm`, a reference loop until its native kernel lands.

    After Hochreiter & Schmidhuber 1997, the forget gate of Gers et al. 2000.

    Arguments, weights, masks, states and results are those of the stock layer. What the op does not do runs
    the stock layer's own code: activations other than tanh and sigmoid, `recurrent_dropout` in training,
    `dropout` in training with `implementation=1`, `unroll=True`, `zero_output_for_mask=True` and
    `use_cudnn=True`. So does `use_cudnn="auto"` where there is a GPU, for sequences without a mask: there
    cuDNN takes the whole sequence at once. XLA cannot compile cuDNN, and a graph with it needs a GPU;
    `ikelos.kernels.use("reference")` and `use_cudnn=False` keep the loop.

    `get_config` with `from_config` and `get_weights` with `set_weights` carry a layer between the two
    classes. A model's weight file names layers by their class, so it loads into a model of the same classes
    alone.

    Input shape: `[B,T,D]`. Output shape: `[B,U]`, or `[B,T,U]` with `return_sequences=True`; with
    `return_state=True` followed by the hidden and the cell state, `[B,U]` each.

    Example:

    >>> layer = FusedLSTM(8, return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    TensorShape([2, 5, 8])
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the recurrence; called by `keras.layers.RNN.call`."""
        cell = self.cell
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        fused = (
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and not (training and cell.recurrent_dropout)
            # That cell drops each gate's inputs on their own.
            and not (training and cell.dropout and cell.implementation == 1)
            and not self.unroll
            and not self.zero_output_for_mask
            and self.use_cudnn is not True
            and not (self.use_cudnn == "auto" and mask is None and _left_to_cudnn(self.compute_dtype))
        )
        if not fused:
            return super().inner_loop(sequences, initial_state, mask, training=training)
        # The stock layer takes a mask of any type.
        mask = None if mask is None else keras.ops.cast(mask, "bool")
        if training and cell.dropout:
            # One mask for all steps, as the stock cell draws it.
            sequences = sequences * keras.ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
        if self.go_backwards:
            sequences = keras.ops.flip(sequences, axis=1)
            mask = None if mask is None else keras.ops.flip(mask, axis=1)
        dtype = self.compute_dtype
        outputs, states = kernels.lstm(
            keras.ops.cast(sequences, dtype),
            keras.ops.cast(cell.kernel, dtype),
            keras.ops.cast(cell.recurrent_kernel, dtype),
            None if cell.bias is None else keras.ops.cast(cell.bias, dtype),
            tuple(initial_state),
            mask=mask,
        )
        # With a mask, a row without any valid step puts out 0 although it keeps its initial state.
        return states[0] if mask is None else outputs[:, -1], outputs, list(states)

    def get_config(self):
        """The constructor's arguments; the stock layer leaves out `use_cudnn`, and `Bidirectional` then loses
        it."""
        return {**super().get_config(), "use_cudnn": self.use_cudnn}


def _left_to_cudnn(dtype):
    """Whether there is a GPU and the op would run its reference though nobody asked for that."""
    choice = kernels.explain("lstm", dtype)
    # Who asks for the reference wants stock operations that run everywhere, as in an export. Masked steps are
    # left out by the caller: cuDNN puts out 0 there instead of the last output.
    return choice.implementation == "reference" and not choice.asked and bool(tf.config.list_logical_devices("GPU"))
