"""Helpers of the ops' registered gradients."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def dense(grad, x: tf.Tensor) -> tf.Tensor:
    """The gradient of `x` as a dense tensor: `grad` is None for zeros, and IndexedSlices after a gather."""
    return tf.zeros_like(x) if grad is None else tf.convert_to_tensor(grad)


def second_gradients(
    function: Callable, inputs: Sequence[tf.Tensor], output_grads: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor]
) -> list[tf.Tensor | None]:
    """Gradients of the gradients of `function`, with respect to `inputs` and `output_grads`.

    Args:
        function: Maps `inputs` to a sequence of outputs.
        inputs: Its arguments.
        output_grads: Gradients with respect to the outputs, from which the first gradients were computed.
        upstream: Gradients with respect to these first gradients.

    Returns:
        A gradient for each of `inputs` and then each of `output_grads`; None where there is no path.
    """
    inputs, output_grads = list(inputs), list(output_grads)
    with tf.GradientTape() as outer:
        outer.watch([*inputs, *output_grads])
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = list(function(*inputs))
        first = inner.gradient(outputs, inputs, output_gradients=output_grads)
    return outer.gradient(first, [*inputs, *output_grads], output_gradients=list(upstream))
