"""What the benchmarks of ops that keep the shape of their first input share."""

from workers import Contender


def tensorflow(inputs, function, jit_compile=False):
    """Returns a contender that runs a function in a `tf.function`, with its gradients if the case says so.

    Args:
        inputs: Function from a case's arguments to the inputs of `function` and the gradient of its output, float32.
        function: The op.
        jit_compile: Whether XLA compiles it.
    """

    def prepare(case):
        import tensorflow as tf

        *arrays, grad = (tf.cast(x, case["dtype"]) for x in inputs(case))

        @tf.function(autograph=False, jit_compile=jit_compile)
        def run(arrays, grad):
            if not case["backward"]:
                return [function(*arrays)]
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                output = function(*arrays)
            return [output, *tape.gradient(output, arrays, output_gradients=grad)]

        return lambda: run(arrays, grad), lambda: [tf.cast(x, tf.float32).numpy() for x in run(arrays, grad)]

    return Contender(prepare)
