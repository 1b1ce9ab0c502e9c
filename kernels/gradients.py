"""Helpers for the registered gradients of the ops."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def dense(grad, x: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of `x` as a dense tensor; `grad` may be None, for zeros, or `tf.IndexedSlices`."""
    return tf.zeros_like(x) if grad is None else tf.convert_to_tensor(grad)


def second_gradients(
    function: Callable, inputs: Sequence[tf.Tensor], output_grads: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor]
) -> list[tf.Tensor | None]:
    """Returns the gradients of the gradients of `function`, with respect to `inputs` and `output_grads`.

    Args:
        function: Maps `inputs` to a sequence of outputs.
        inputs: Arguments of `function`.
        output_grads: Gradients with respect to the outputs of `function`, from which the first gradients are computed.
        upstream: Gradients with respect to the first gradients.

    Returns:
        A gradient for each of `inputs` and then for each of `output_grads`; None where there is no path.
    """
    inputs, output_grads = list(inputs), list(output_grads)
    with tf.GradientTape() as outer:
        outer.watch([*inputs, *output_grads])
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = list(function(*inputs))
        first = inner.gradient(outputs, inputs, output_gradients=output_grads)
    return outer.gradient(first, [*inputs, *output_grads], output_gradients=list(upstream))
