"""The CTC loss and its gradient: `ikelos.layers.audio.ctc_loss` beside `keras.ops.ctc_loss`, both in a tf.function.

    python benchmarks/ctc_loss.py [--quick] [--json PATH] [--plot PATH]

`compare.py` explains the options and the table.
"""

import compare
import numpy as np
from workers import Contender

PEER = "keras.ops"


def contender(loss):
    def prepare(case):
        import tensorflow as tf

        rows, frames, labels, classes = case["sizes"]
        draw = np.random.default_rng(0)
        logits = tf.constant(draw.standard_normal([rows, frames, classes], np.float32))
        lengths = tf.constant(draw.integers(frames // 2, frames, rows, endpoint=True), tf.int32)
        said = tf.constant(draw.integers(1, classes, [rows, labels]), tf.int32)
        label_lengths = tf.constant(draw.integers(1, labels // 2, rows), tf.int32)

        @tf.function(autograph=False)
        def run(logits, lengths, said, label_lengths):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                found = loss(logits, lengths, said, label_lengths)
            return [found, tape.gradient(found, logits)]

        inputs = (logits, lengths, said, label_lengths)
        return lambda: run(*inputs), lambda: [result.numpy() for result in run(*inputs)]

    return Contender(prepare)


def ours(logits, lengths, labels, label_lengths):
    from ikelos.layers.audio import ctc_loss

    return ctc_loss(logits, lengths, labels, label_lengths)


def keras_ops(logits, lengths, labels, label_lengths):
    import keras

    return keras.ops.ctc_loss(labels, logits, label_lengths, lengths, mask_index=0)


CONTENDERS = {compare.OURS: contender(ours), PEER: contender(keras_ops)}


def cases(effort):
    sizes = [(32, 300, 60, 30), (16, 100, 30, 30), (2, 20, 6, 10)]
    return [
        compare.Case(
            "{} rows, {} frames, {} labels, {} classes".format(*size), {"sizes": size}, {PEER: None}, tolerance=3e-3
        )
        for size in (sizes[-1:] if effort == "smoke" else sizes)
    ]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
