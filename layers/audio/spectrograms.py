"""What layers that change spectrograms in training share."""

import tensorflow as tf


def check_spectrograms(inputs, values="floats"):
    """Checks inputs of a layer.

    Args:
        inputs: Spectrograms `[B,T,M]`, floats.
        values: What the values must be, for the error.

    Raises:
        ValueError: If the inputs have another rank or are not floats.
    """
    if len(inputs.shape) != 3:
        raise ValueError(f"`inputs` must have shape [B,T,M]. Received: inputs.shape={inputs.shape}")
    if not tf.as_dtype(inputs.dtype).is_floating:
        raise ValueError(f"`inputs` must be {values}. Received: inputs.dtype={inputs.dtype}")


def frames_of_rows(inputs, lengths):
    """Returns the number of frames of each row of spectrograms `[B,T,M]`, int32 `[B]`: `lengths`, at most T; T if
    None."""
    batch, frames = tf.unstack(tf.shape(inputs)[:2])
    return tf.fill([batch], frames) if lengths is None else tf.minimum(tf.cast(lengths, tf.int32), frames)
