"""What the ops' registered gradients share."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def dense(grad, x: tf.Tensor) -> tf.Tensor:
    """The gradient by `x` as a tensor: it is None where nothing comes, and slices where rows of `x` were gathered."""
    return tf.zeros_like(x) if grad is None else tf.convert_to_tensor(grad)


def second_gradients(
    function: Callable, inputs: Sequence[tf.Tensor], output_grads: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor]
) -> list[tf.Tensor | None]:
    """Gradients by `inputs` and by `output_grads`, which are those by the outputs of `function(*inputs)`, given those
    by the first gradients, `upstream`."""
    inputs, output_grads = list(inputs), list(output_grads)
    with tf.GradientTape() as outer:
        outer.watch([*inputs, *output_grads])
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = list(function(*inputs))
        first = inner.gradient(outputs, inputs, output_gradients=output_grads)
    return outer.gradient(first, [*inputs, *output_grads], output_gradients=list(upstream))
