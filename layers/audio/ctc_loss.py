"""The loss of connectionist temporal classification (CTC), with a length for each row."""

import tensorflow as tf


def ctc_loss(logits, lengths, labels, label_lengths, blank_id=0):
    """Returns the CTC loss of each row, the negative log-probability of its labels (Graves et al. 2006, section 4).

    It runs TensorFlow's C++ op for the loss and its gradient, which takes logarithms in float32. `keras.losses.CTC`
    takes every frame of a padded batch as valid. `keras.ops.ctc_loss` has lengths too, but loops over the frames with
    small ops, which took 59 times as long (32 rows of 300 frames, 60 labels and 30 classes, on two cores of an Intel
    Xeon with AMX; `benchmarks/ctc_loss.py`). It gives a row that has too few frames for its labels a loss of some 707,
    with a gradient.

    XLA cannot compile it.

    Args:
        logits: Floats `[B,T,V]`, B at least 1.
        lengths: int `[B]`, number of frames of each row, from 0 to T; frames beyond it are ignored.
        labels: int `[B,U]`, without blanks in the first `label_lengths` places of a row. What follows is ignored.
        label_lengths: int `[B]`, number of labels of each row, from 0 to U; 0 for silence.
        blank_id: Id of the blank.

    Returns:
        Losses float32 `[B]` in nats, float64 for float64 logits. A row with fewer frames than `ctc_min_frames` cannot
        have its labels: its loss is infinite, and its gradient 0.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a label is the blank or not in `[0, V)`, a length is out of its
            range, or there are no rows.

    Example:

    >>> import tensorflow as tf
    >>> logits = tf.math.log([[[0.5, 0.5], [0.5, 0.5]]])
    >>> tf.exp(-ctc_loss(logits, [2], [[1]], [1])).numpy()  # Three of the four paths give the label.
    array([0.75], dtype=float32)
    """
    logits = tf.convert_to_tensor(logits)
    if logits.dtype not in (tf.float32, tf.float64):
        logits = tf.cast(logits, tf.float32)
    lengths, labels, label_lengths = (tf.cast(x, tf.int32) for x in (lengths, labels, label_lengths))
    rows, frames, size = tf.unstack(tf.shape(logits))
    valid = tf.sequence_mask(label_lengths, tf.shape(labels)[1])
    checks = [
        tf.debugging.Assert(rows > 0, ["`logits` must have at least one row. Received: shape", tf.shape(logits)]),
        _check_lengths("lengths", lengths, frames),
        _check_lengths("label_lengths", label_lengths, tf.shape(labels)[1]),
        tf.debugging.Assert(
            tf.reduce_all(~valid | ((labels >= 0) & (labels < size) & (labels != blank_id))),
            [f"`labels` must be ids of the logits' last axis, and not the blank {blank_id}. Received:", labels],
        ),
    ]
    with tf.control_dependencies(checks):
        labels = tf.identity(labels)
    possible = ctc_min_frames(labels, label_lengths) <= lengths
    # The op rejects rows without labels, whose only path is blanks, and rows without frames. These rows, and those that
    # are impossible, get one label and one frame, and their losses are replaced.
    usual = possible & (label_lengths > 0)
    labels = tf.where(usual[:, None], tf.pad(labels, [[0, 0], [0, 1]]), tf.where(blank_id == 0, 1, 0))
    places = tf.where(tf.sequence_mask(tf.where(usual, label_lengths, 1), tf.shape(labels)[1]))
    labels = tf.gather_nd(labels, places)
    # The op's blank is the last class.
    order = tf.concat([tf.range(blank_id), tf.range(blank_id + 1, size), [blank_id]], axis=0)
    losses = tf.raw_ops.CTCLoss(
        inputs=tf.transpose(tf.gather(tf.pad(logits, [[0, 0], [0, 1], [0, 0]]), order, axis=2), [1, 0, 2]),
        labels_indices=places,
        labels_values=tf.where(labels > blank_id, labels - 1, labels),
        sequence_length=tf.where(usual, lengths, 1),
    ).loss
    blanks = tf.nn.log_softmax(logits)[..., blank_id]
    silent = -tf.reduce_sum(tf.where(tf.sequence_mask(lengths, frames), blanks, 0), axis=1)
    return tf.where(usual, losses, tf.where(possible, silent, float("inf")))


def _check_lengths(name, lengths, most):
    inside = (lengths >= 0) & (lengths <= most)
    return tf.debugging.Assert(
        tf.reduce_all(inside), [f"`{name}` must be between 0 and", most, "Received:", tf.boolean_mask(lengths, ~inside)]
    )


def ctc_min_frames(labels, label_lengths):
    """Returns the fewest frames that can have these labels: one for each, and a blank between equal neighbours.

    Args:
        labels: int `[B,U]`.
        label_lengths: int `[B]`, number of labels of each row.

    Returns:
        int32 `[B]`.

    Example:

    >>> import tensorflow as tf
    >>> ctc_min_frames(tf.constant([[1, 1, 2], [1, 2, 2]]), tf.constant([3, 2])).numpy()
    array([4, 2], dtype=int32)
    """
    labels, label_lengths = tf.convert_to_tensor(labels), tf.cast(label_lengths, tf.int32)
    repeated = labels[:, 1:] == labels[:, :-1]
    inside = tf.sequence_mask(label_lengths - 1, tf.shape(repeated)[1])
    return label_lengths + tf.reduce_sum(tf.cast(repeated & inside, tf.int32), axis=1)
