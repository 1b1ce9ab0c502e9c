"""Rotary positions of query and key: the native op beside TensorFlow's ops, alone and under XLA, and PyTorch's formula.

    python benchmarks/rotary.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]

`compare.py` explains the options and the table. Query and key are `[B,T,N,H]`, and all contenders compute sines and
cosines in the call. PyTorch runs the formula of `transformers`, eagerly. A decoded token has T = 1; as such calls are
short, 64 in a row rotate their last results.
"""

import compare
import numpy as np
from workers import Contender

TENSORFLOW, TENSORFLOW_XLA, PYTORCH, XLA = "TensorFlow", "TensorFlow under XLA", "PyTorch", "Ikelos under XLA"


def frequencies(case):
    return (1e4 ** (-np.arange(0, case["size"], 2) / case["size"])).astype("float32")


def inputs(case):
    """Returns query and key, and the gradients of their rotations."""
    draw, shape = np.random.default_rng(0), [case["batch"], case["steps"], case["heads"], case["size"]]
    return [draw.standard_normal(shape, np.float32) for _ in range(4)]


def contender(implementation, jit_compile=False):
    def prepare(case):
        import tensorflow as tf

        from ikelos import kernels

        *arrays, query_grad, key_grad = (tf.cast(x, case["dtype"]) for x in inputs(case))
        numbers = frequencies(case)

        @tf.function(autograph=False, jit_compile=jit_compile)
        def run(arrays, output_grads, start):
            positions = start + tf.range(case["steps"])
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                outputs = arrays
                for _ in range(case["repeat"]):
                    outputs = kernels.rotary(outputs, positions, numbers, implementation=implementation)
            return [*outputs, *tape.gradient(outputs, arrays, output_grads)] if case["backward"] else outputs

        start, grads = tf.constant(case["start"]), [query_grad, key_grad]

        def call():
            return run(arrays, grads, start)

        return call, lambda: [tf.cast(y, tf.float32).numpy() for y in call()]

    return prepare


def pytorch(case):
    import torch

    dtype = getattr(torch, case["dtype"])
    *arrays, query_grad, key_grad = (torch.from_numpy(x).to(dtype) for x in inputs(case))
    numbers = torch.from_numpy(frequencies(case))

    def rotate_half(x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([-second, first], dim=-1)

    def rotate(arrays):
        angles = (case["start"] + torch.arange(case["steps"]))[:, None] * numbers
        angles = torch.cat([angles, angles], dim=-1)[:, None, :]
        cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
        return [x * cosine + rotate_half(x) * sine for x in arrays]

    def call():
        with torch.inference_mode(not case["backward"]):
            wanted = [x.requires_grad_() for x in arrays] if case["backward"] else arrays
            outputs = wanted
            for _ in range(case["repeat"]):
                outputs = rotate(outputs)
            if not case["backward"]:
                return outputs
            return [*outputs, *torch.autograd.grad(outputs, wanted, [query_grad, key_grad])]

    return call, lambda: [y.detach().float().numpy() for y in call()]


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("rotary"))


CONTENDERS = {
    compare.OURS: Contender(contender("native"), about=about_ours),
    PYTORCH: Contender(pytorch, "torch"),
    TENSORFLOW: Contender(contender("reference")),
    TENSORFLOW_XLA: Contender(contender("reference", jit_compile=True)),
    XLA: Contender(contender("native", jit_compile=True)),
}


def case(batch, steps, heads, size, dtype="float32", backward=False, repeat=1):
    name = f"B={batch} T={steps} N={heads} H={size} {dtype} {'forward+backward' if backward else 'forward'}"
    arguments = {
        "batch": batch,
        "steps": steps,
        "heads": heads,
        "size": size,
        "dtype": dtype,
        "backward": backward,
        "repeat": repeat,
        "start": 700 if steps == 1 else 0,
    }
    # bfloat16 has 8 bits, and PyTorch rounds to them several times.
    tolerance = 1e-4 if dtype == "float32" else 5e-2
    peers = dict.fromkeys([PYTORCH, TENSORFLOW, TENSORFLOW_XLA, XLA])
    return compare.Case(name + (f", {repeat} in a row" if repeat > 1 else ""), arguments, peers, tolerance=tolerance)


def cases(effort):
    if effort == "smoke":
        return [case(2, 5, 3, 6, backward=True)]
    found = [
        case(1, 1, 6, 64, repeat=64),
        case(8, 1024, 8, 64),
        case(8, 1024, 8, 64, backward=True),
    ]
    if effort == "quick":
        return found
    return [
        *found,
        case(8, 1, 12, 64, repeat=64),
        case(1, 1024, 8, 64),
        case(8, 1024, 8, 64, "bfloat16"),
        case(8, 1024, 8, 64, "bfloat16", backward=True),
    ]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
