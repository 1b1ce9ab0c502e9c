"""The activation of SwiGLU: the native op beside `silu(gate) * up` in TensorFlow and PyTorch.

    python benchmarks/swiglu.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]

`compare.py` explains the options and the table.
"""

import compare
import numpy as np
from elementwise import tensorflow
from workers import Contender

STOCK, XLA, PYTORCH = "TensorFlow", "TensorFlow, XLA", "PyTorch eager"


def arrays(case):
    """Returns gate, up and the gradient of the output, float32."""
    draw = np.random.default_rng(0)
    return [draw.standard_normal(case["shape"], np.float32) for _ in range(3)]


def ours(gate, up):
    from ikelos import kernels

    return kernels.swiglu(gate, up, implementation="native")


def stock(gate, up):
    import tensorflow as tf

    return tf.nn.silu(gate) * up


def pytorch(case):
    import torch

    dtype = getattr(torch, case["dtype"])
    gate, up, grad = (torch.from_numpy(x).to(dtype) for x in arrays(case))
    inputs = [x.requires_grad_(case["backward"]) for x in (gate, up)]

    def call():
        output = torch.nn.functional.silu(gate) * up
        return [output, *(torch.autograd.grad(output, inputs, grad) if case["backward"] else [])]

    return call, lambda: [x.detach().float().numpy() for x in call()]


CONTENDERS = {
    compare.OURS: tensorflow(arrays, ours),
    STOCK: tensorflow(arrays, stock),
    XLA: tensorflow(arrays, stock, jit_compile=True),
    PYTORCH: Contender(pytorch, "torch"),
}


def cases(effort):
    shapes = [(4096, 672), (4096, 2048), (1, 672)]
    return [
        compare.Case(
            f"{'x'.join(map(str, shape))} {dtype} {'forward+backward' if backward else 'forward'}",
            {"shape": shape, "dtype": dtype, "backward": backward},
            {STOCK: None, XLA: None, PYTORCH: None},
            # bfloat16 has 8 bits, and the peers round to them more than once.
            tolerance=1e-5 if dtype == "float32" else 3e-2,
        )
        for shape in (shapes[-1:] if effort == "smoke" else shapes)
        for dtype in ("float32", "bfloat16")
        for backward in (False, True)
    ]


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
