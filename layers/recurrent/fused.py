"""What Keras's recurrent layers and cells on the ops of `ikelos.kernels` share."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference.shapes import sizes
from ikelos.layers.drop_in import overrides

STOCK_CELLS = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}


def layer_fits(layer, op_name, mask, training):
    """Whether the op does what a layer, an LSTM or a GRU of Keras, is to do; otherwise the stock layer's own code
    must."""
    return (
        # The op takes the place of the cell's steps.
        not overrides(layer.cell, STOCK_CELLS[op_name], ["call", "__call__"])
        and _has_the_gates_functions(layer.cell)
        and _is_of_steps(mask)
        # That cell drops each gate's inputs on their own.
        and not (training and _drops(layer.cell.dropout) and layer.cell.implementation == 1)
        and not layer.unroll
        and layer.use_cudnn is not True
        and not (layer.use_cudnn == "auto" and mask is None and _left_to_cudnn(op_name, layer.compute_dtype))
    )


def step_fits(cell, op_name, inputs, training):
    """Whether the op is to do one step `[B,D]` of a cell, an LSTMCell or a GRUCell of Keras."""
    # For a single step the stock cell's own code is better than the reference, which loops over steps, and than the
    # op's gradient, which readies the weights at each step: within keras.layers.RNN that took up to 3 times as long.
    return (
        not training
        and len(inputs.shape) == 2
        and _has_the_gates_functions(cell)
        and kernels.explain(op_name, cell.compute_dtype).implementation == "native"
    )


def layer_arguments(layer, sequences, hidden, mask, training):
    """The op's arguments, by name, for a layer that fits, but for the initial state."""
    cell = layer.cell
    if mask is not None:
        mask = _by_row(mask, sequences)
        # The steps that count for nothing have the weight 0, and 0 times NaN is NaN.
        sequences = tf.where(mask[:, :, None], sequences, tf.zeros([], sequences.dtype))
    if training and _drops(cell.dropout):
        # One mask for all steps, as the stock cell draws it.
        sequences = sequences * keras.ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
    dropped = None
    if training and _drops(cell.recurrent_dropout):
        # One mask for each gate.
        dropped = keras.ops.stack(cell.get_recurrent_dropout_mask(hidden), axis=1)
        dropped = of_rows(keras.ops.cast(dropped, cell.compute_dtype), sequences)
    return {
        **_inputs_and_weights(cell, sequences),
        "mask": mask,
        "go_backwards": layer.go_backwards,
        "zero_output_for_mask": layer.zero_output_for_mask,
        "recurrent_dropout_mask": dropped,
        "save_for_gradient": bool(training),
    }


def step_arguments(cell, inputs):
    """The op's arguments, by name, for one step `[B,D]` of a cell that fits, but for the state."""
    return {**_inputs_and_weights(cell, keras.ops.expand_dims(inputs, 1)), "save_for_gradient": False}


def layer_results(outputs, states, mask):
    """The last output, the outputs and the states, as `keras.layers.RNN.call` takes them."""
    # With a mask, a row's last output is that of the last step and not its state: 0 where nothing is valid.
    return states[0] if mask is None else outputs[:, -1], outputs, list(states)


def of_rows(x, inputs):
    """`x [B,...]`, or `[1,...]` for all rows of `inputs [B,...]`, as `[B,...]`."""
    batch = inputs.shape[0]
    # What has another number of rows is left to the op, whose errors name it.
    if x.shape[0] == 1 != batch or None in (x.shape[0], batch):
        x = tf.broadcast_to(x, [sizes(inputs)[0], *sizes(x)[1:]])
    return x


def _is_of_steps(mask):
    """Whether a mask, if there is one, is `[B,T]` or `[B,T,1]`; by a last axis of another size the stock layers mask
    each unit on its own."""
    return mask is None or len(mask.shape) == 2 or (len(mask.shape) == 3 and mask.shape[2] == 1)


def _by_row(mask, sequences):
    """A mask `[B,T]`, `[1,T]`, or either with one more axis of size 1, of any type, as boolean `[B,T]`."""
    mask = keras.ops.cast(mask, "bool")
    return of_rows(mask[:, :, 0] if len(mask.shape) == 3 else mask, sequences)


def _inputs_and_weights(cell, sequences):
    arrays = {
        "inputs": sequences,
        "kernel": cell.kernel,
        "recurrent_kernel": cell.recurrent_kernel,
        "bias": cell.bias,
    }
    return {name: None if x is None else keras.ops.cast(x, cell.compute_dtype) for name, x in arrays.items()}


def _has_the_gates_functions(cell):
    return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid


def _drops(rate):
    """The stock cells drop nothing at the rate 1."""
    return 0 < rate < 1


def _left_to_cudnn(op_name, dtype):
    """Whether there is a GPU and the op would run its reference though nobody asked for that."""
    choice = kernels.explain(op_name, dtype)
    # Who asks for the reference wants stock operations that run everywhere, as in an export. Masked steps are
    # left out by the caller: cuDNN puts out 0 there instead of the last output.
    return choice.implementation == "reference" and not choice.requested and bool(tf.config.list_logical_devices("GPU"))
