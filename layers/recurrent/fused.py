"""Functions shared by the Keras recurrent layers and cells that run on the ops of `ikelos.kernels`."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference.shapes import sizes
from ikelos.layers.drop_in import overrides

STOCK_CELLS = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}


def layer_fits(layer, op_name, mask, training):
    """Returns whether the op can compute a call of a Keras LSTM or GRU; otherwise the code of the stock layer must
    run."""
    return (
        # The op replaces the calls of the cell.
        not overrides(layer.cell, STOCK_CELLS[op_name], ["call", "__call__"])
        and _has_the_gates_functions(layer.cell)
        and _is_of_steps(mask)
        # With `implementation=1` the stock cell drops the inputs of each gate separately.
        and not (training and _drops(layer.cell.dropout) and layer.cell.implementation == 1)
        and not layer.unroll
        and layer.use_cudnn is not True
        and not (layer.use_cudnn == "auto" and mask is None and _left_to_cudnn(op_name, layer.compute_dtype))
    )


def step_fits(cell, op_name, inputs, training):
    """Returns whether the op should compute one step `[B,D]` of a Keras LSTMCell or GRUCell."""
    # The stock cell is faster than the reference, which loops over steps. It is also faster than the op's gradient,
    # which prepares the weights at each step and took up to 3 times as long within keras.layers.RNN.
    return (
        not training
        and len(inputs.shape) == 2
        and _has_the_gates_functions(cell)
        and kernels.explain(op_name, cell.compute_dtype).implementation == "native"
    )


def layer_arguments(layer, sequences, hidden, mask, training):
    """Returns the op's arguments by name, except for the initial state, for a call that `layer_fits` accepts."""
    cell = layer.cell
    if mask is not None:
        mask = _by_row(mask, sequences)
        # Masked steps may be NaN. They have the weight 0, but 0 times NaN is NaN.
        sequences = tf.where(mask[:, :, None], sequences, tf.zeros([], sequences.dtype))
    if training and _drops(cell.dropout):
        # As in the stock cell, one mask for all steps.
        sequences = sequences * keras.ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
    dropped = None
    if training and _drops(cell.recurrent_dropout):
        # One mask for each gate.
        dropped = keras.ops.stack(cell.get_recurrent_dropout_mask(hidden), axis=1)
        dropped = broadcast_to_batch(keras.ops.cast(dropped, cell.compute_dtype), sequences)
    return {
        **_inputs_and_weights(cell, sequences),
        "mask": mask,
        "go_backwards": layer.go_backwards,
        "zero_output_for_mask": layer.zero_output_for_mask,
        "recurrent_dropout_mask": dropped,
        "save_for_gradient": bool(training),
    }


def step_arguments(cell, inputs):
    """Returns the op's arguments by name, except for the state, for a step `[B,D]` that `step_fits` accepts."""
    return {**_inputs_and_weights(cell, keras.ops.expand_dims(inputs, 1)), "save_for_gradient": False}


def layer_results(outputs, states, mask):
    """Returns the last output, the outputs and the states, as `keras.layers.RNN.call` expects them."""
    # With a mask, the last output of a row may differ from its state, for example if no step is valid.
    return states[0] if mask is None else outputs[:, -1], outputs, list(states)


def broadcast_to_batch(x, inputs):
    """Returns `x [B,...]`, where an `x` of shape `[1,...]` is repeated for each row of `inputs [B,...]`.

    The op raises an error for any other known number of rows.
    """
    batch = inputs.shape[0]
    if x.shape[0] == 1 != batch or None in (x.shape[0], batch):
        x = tf.broadcast_to(x, [sizes(inputs)[0], *sizes(x)[1:]])
    return x


def _is_of_steps(mask):
    """Returns whether a mask is None, `[B,T]` or `[B,T,1]`; with a larger last axis the stock layers mask each unit
    separately."""
    return mask is None or len(mask.shape) == 2 or (len(mask.shape) == 3 and mask.shape[2] == 1)


def _by_row(mask, sequences):
    """Returns a mask of shape `[B,T]`, `[1,T]`, `[B,T,1]` or `[1,T,1]` as boolean `[B,T]`."""
    mask = keras.ops.cast(mask, "bool")
    return broadcast_to_batch(mask[:, :, 0] if len(mask.shape) == 3 else mask, sequences)


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
    """Returns whether the stock cells drop anything at a dropout rate; at 1 they drop nothing."""
    return 0 < rate < 1


def _left_to_cudnn(op_name, dtype):
    """Returns whether there is a GPU and the op would run its reference, without having been asked to."""
    choice = kernels.explain(op_name, dtype)
    # A request for the reference, as in an export, asks for stock operations that run everywhere. The caller excludes
    # masks, because cuDNN outputs 0 at masked steps instead of the last output.
    return choice.implementation == "reference" and not choice.requested and bool(tf.config.list_logical_devices("GPU"))
