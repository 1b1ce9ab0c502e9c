"""Layers of LSTMs that read padded sequences in both directions."""

import tensorflow as tf


def bidirectional(forward, backward, inputs, lengths, training=None):
    """Returns the outputs of two recurrent layers, one of which reads each row from its end (Schuster & Paliwal 1997).

    `keras.layers.Bidirectional` reverses rows with their padding.

    Args:
        forward: Recurrent layer with `return_sequences=True` and `return_state=True`, of U units.
        backward: Another one.
        inputs: Floats `[B,T,D]`, padded at the end.
        lengths: int `[B]`, number of steps of each row.
        training: Boolean, as in the layers' calls.

    Returns:
        `[B,T,2U]`; steps beyond a row's length have any values.
    """
    mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
    # Turned row by row, so that the padding stays at the end.
    ahead = forward(inputs, mask=mask, training=training)[0]
    back = backward(tf.reverse_sequence(inputs, lengths, 1), mask=mask, training=training)[0]
    return tf.concat([ahead, tf.reverse_sequence(back, lengths, 1)], axis=-1)
