"""The head of a language model and its loss, forward and backward, beside Keras and PyTorch.

    python benchmarks/cross_entropy.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/cross_entropy.py --memory [--quick] [--torch-python PATH]

From hidden states of 4096 tokens to the gradients of these and of the kernel, float32. The contenders are

  - `ikelos.layers.losses.linear_cross_entropy`, which never holds all logits
  - `ikelos.layers.losses.cross_entropy` of the logits
  - `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` of the logits
  - PyTorch's `cross_entropy` of the logits, eager

`--memory` instead measures the memory that one step takes beyond its inputs and results, as `memory.py` does.
`compare.py` explains the other options and the table.
"""

import argparse
import json
import subprocess
import sys

import compare
import memory
import numpy as np
import workers
from workers import Contender

LOGITS, KERAS, PYTORCH = "Ikelos, of logits", "Keras", "PyTorch eager"


def arrays(case):
    """Returns hidden states `[R,D]`, kernel `[D,V]` and labels `[R]`."""
    draw = np.random.default_rng(0)
    hidden = draw.standard_normal((case["rows"], case["size"]), np.float32)
    kernel = 0.05 * draw.standard_normal((case["size"], case["classes"]), np.float32)
    return hidden, kernel, draw.integers(0, case["classes"], case["rows"], np.int32)


def tensorflow(losses):
    def prepare(case):
        import tensorflow as tf

        hidden, kernel, labels = (tf.constant(x) for x in arrays(case))

        @tf.function(autograph=False)
        def run(hidden, kernel, labels):
            with tf.GradientTape() as tape:
                tape.watch([hidden, kernel])
                loss = tf.reduce_mean(losses(hidden, kernel, labels))
            return loss, *tape.gradient(loss, [hidden, kernel])

        return lambda: run(hidden, kernel, labels), lambda: [x.numpy() for x in run(hidden, kernel, labels)]

    return Contender(prepare)


def linear(hidden, kernel, labels):
    from ikelos.layers.losses import linear_cross_entropy

    return linear_cross_entropy(hidden, kernel, labels)


def of_logits(hidden, kernel, labels):
    import tensorflow as tf

    from ikelos.layers.losses import cross_entropy

    return cross_entropy(labels, tf.matmul(hidden, kernel))


def keras(hidden, kernel, labels):
    import keras
    import tensorflow as tf

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, tf.matmul(hidden, kernel))


def pytorch(case):
    import torch

    hidden, kernel, labels = (torch.from_numpy(x) for x in arrays(case))
    inputs = [hidden.requires_grad_(), kernel.requires_grad_()]

    def call():
        loss = torch.nn.functional.cross_entropy(hidden @ kernel, labels.long())
        return [loss, *torch.autograd.grad(loss, inputs)]

    return call, lambda: [x.detach().numpy() for x in call()]


CONTENDERS = {
    compare.OURS: tensorflow(linear),
    LOGITS: tensorflow(of_logits),
    KERAS: tensorflow(keras),
    PYTORCH: Contender(pytorch, "torch"),
}


def cases(effort):
    sizes = [(4096, 384, classes) for classes in (65, 2000, 8000, 32000)]
    sizes += [(2048, 128, 4000)]  # the recipe `dialogue`
    if effort == "full":
        sizes += [(8192, 512, classes) for classes in (8000, 32000)]
    return [
        compare.Case(
            f"R={rows} D={size} V={classes}",
            {"rows": rows, "size": size, "classes": classes},
            {LOGITS: None, KERAS: None, PYTORCH: None},
        )
        for rows, size, classes in ([(16, 8, 20)] if effort == "smoke" else sizes)
    ]


def extra_bytes(name, case):
    """Returns the bytes of memory that one step takes in this process, beyond its inputs and results."""
    CONTENDERS[name].prepare({"rows": 16, "size": 8, "classes": 20})[0]()
    call = CONTENDERS[name].prepare(case)[0]
    _, taken = memory.taken_bytes(call)
    return taken - 4 * case["size"] * (case["rows"] + case["classes"])


def print_memory(options):
    torch = workers.torch_python(options.torch_python)
    for case in compare.named(cases(options.effort), options.cases):
        for name, contender in CONTENDERS.items():
            python = torch if contender.framework == "torch" else sys.executable
            if python:
                command = [python, __file__, "--measure", name, json.dumps(case.arguments)]
                environment = workers.environment(options.threads)
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                print(f"{case.name:<24} {name:<20} {int(done.stdout) / 1e6:>9.0f} MB", flush=True)


def main():
    parser = compare.make_comparison_parser(__doc__)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(extra_bytes(options.measure[0], json.loads(options.measure[1])))
    elif options.memory:
        print_memory(options)
    else:
        compare.run(options, CONTENDERS, cases, __file__)


if __name__ == "__main__":
    main()
