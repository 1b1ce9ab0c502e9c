"""Signatures in which networks copy and add."""

import keras
import tensorflow as tf

from ikelos.pipelines.sequences.problems import Copying
from ikelos.serving import Bound, Signature


def copy(problem: Copying, model: keras.Model, lag: int, max_lag: int) -> Signature:
    """Returns the signature that recalls symbols; `lag` is that of the example, `max_lag` the longest of a request."""

    def function(symbols, lag):
        # Rows with a shorter lag read further blanks at their end, after their answer.
        logits = model(problem.inputs(symbols, lag))
        places = problem.copied + lag[:, None] + tf.range(problem.copied)
        likely = tf.nn.softmax(tf.gather(logits, places, axis=1, batch_dims=1))
        recalled = tf.argmax(likely, axis=-1, output_type=tf.int32)
        return {"recalled": recalled, "probability": tf.reduce_max(likely, axis=-1)}

    return Signature(
        name="serving_default",
        function=function,
        inputs={
            "symbols": tf.TensorSpec([None, problem.copied], tf.int32),
            "lag": tf.TensorSpec([None], tf.int32),
        },
        example={
            "symbols": [[place % problem.symbols for place in range(problem.copied)], [0] * problem.copied],
            "lag": [3, lag],
        },
        doc=f"The {problem.copied} symbols below {problem.symbols} as the network recalls them after a lag.",
        bounds={"symbols": Bound((0, problem.symbols - 1)), "lag": Bound((1, max_lag))},
    )


def add(model: keras.Model, max_length: int) -> Signature:
    """Returns the signature that adds two marked numbers among at most `max_length`."""
    share = Bound((0.0, 1.0), max_size=max_length)
    sequence = tf.TensorSpec([None, None], tf.float32)

    def function(numbers, marks):
        same = tf.debugging.assert_equal(
            tf.shape(marks), tf.shape(numbers), "`marks` must have the shape of `numbers`."
        )
        with tf.control_dependencies([same]):
            marked = tf.reduce_sum(marks, axis=1)
        are_two = tf.debugging.Assert(
            tf.reduce_all(marked == 2), ["`marks` must have two ones in each row. Received sums:", marked]
        )
        with tf.control_dependencies([are_two]):
            return {"sum": model(tf.stack([numbers, marks], axis=-1))[:, -1, 0]}

    return Signature(
        name="add",
        function=function,
        inputs={"numbers": sequence, "marks": sequence},
        example={"numbers": [[0.5, 0.25, 0.75], [0.1, 0.2, 0.3]], "marks": [[1, 0, 1], [0, 1, 1]]},
        doc="The sum of two numbers in [0, 1), whose marks are 1, one in each half; all other marks are 0.",
        bounds={"numbers": share, "marks": share},
    )
