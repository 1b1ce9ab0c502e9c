"""One small eager call of each op of `ikelos.kernels` beside PyTorch's eager call and our op in a `tf.function`.

    python benchmarks/eager.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]

`compare.py` explains the options and the table. The goal is at most twice PyTorch's time: so small a call consists of
the work around the op, such as the checks of its arguments.
"""

import compare
import numpy as np
import recurrent
from compare import Goal
from workers import Contender

PYTORCH, TRACED = "PyTorch", "tf.function"
EPSILON = 1e-6


def attention_inputs(case):
    draw = np.random.default_rng(0)
    lengths = case["queries"], case["keys"], case["keys"]
    return [draw.standard_normal((1, length, 8, 64), np.float32) for length in lengths]


def rms_norm_inputs():
    return [np.random.default_rng(0).standard_normal((8, 64), np.float32), np.ones(64, np.float32)]


def tensorflow(traced):
    def prepare(case):
        import tensorflow as tf

        from ikelos import kernels

        if case["op"] == "attention":
            tensors, run = attention_inputs(case), kernels.attention
        elif case["op"] == "rms_norm":
            tensors, run = rms_norm_inputs(), kernels.rms_norm
        else:
            given, op = recurrent.inputs(case), getattr(kernels, case["op"])
            tensors = [given["inputs"], *given["weights"], *given["state"]]

            def run(x, kernel, recurrent_kernel, bias, *state):
                state = state if len(state) > 1 else state[0]
                return op(x, kernel, recurrent_kernel, bias, state, save_for_gradient=False)

        tensors = [tf.constant(x) for x in tensors]
        function = tf.function(run, autograph=False) if traced else run
        return lambda: function(*tensors), lambda: [x.numpy() for x in tf.nest.flatten(function(*tensors))]

    return prepare


def pytorch(case):
    import torch
    import torch_models
    from torch.nn import functional

    if case["op"] == "attention":
        tensors = [torch.from_numpy(x).transpose(1, 2) for x in attention_inputs(case)]

        def run():
            return [functional.scaled_dot_product_attention(*tensors).transpose(1, 2)]
    elif case["op"] == "rms_norm":
        x, scale = map(torch.from_numpy, rms_norm_inputs())

        def run():
            return [functional.rms_norm(x, scale.shape, scale, EPSILON)]
    else:
        given = recurrent.inputs(case)
        layer = torch_models.recurrent(case["op"], [given["weights"]])
        x, *state = (torch.from_numpy(y) for y in (given["inputs"], *given["state"]))
        state = tuple(y[None] for y in state) if len(state) > 1 else state[0][None]

        def run():
            outputs, last = layer(x, state)
            return [outputs, *(y[0] for y in (last if isinstance(last, tuple) else [last]))]

    def call():
        with torch.inference_mode():
            return run()

    return call, lambda: [x.numpy() for x in call()]


CONTENDERS = {
    compare.OURS: Contender(tensorflow(traced=False)),
    PYTORCH: Contender(pytorch, "torch"),
    TRACED: Contender(tensorflow(traced=True)),
}


def cases(effort):
    calls = {"rms_norm [8,64]": {"op": "rms_norm"}}
    for queries, keys in ((16, 16), (1, 64)):
        name = f"attention B=1 T={queries} S={keys} N=8 H=64"
        calls[name] = {"op": "attention", "queries": queries, "keys": keys}
    for op in ("lstm", "gru"):
        for time in (1, 4):
            calls[f"{op} B=1 T={time} U=64"] = {"op": op, **recurrent.arguments(op, 1, time, 64)}
    return [
        compare.Case(f"one eager call: {name}", arguments, {PYTORCH: Goal(0.5), TRACED: None})
        for name, arguments in calls.items()
    ]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
