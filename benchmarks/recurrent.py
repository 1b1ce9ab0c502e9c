"""LSTM and GRU: `ikelos.kernels.lstm` and `gru` beside Keras, Keras under XLA, PyTorch, and themselves under XLA.

    python benchmarks/recurrent.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/recurrent.py --cases 'LSTM .*B=32' --peers PyTorch

`compare.py` explains the options and the table. A full run takes about 15 minutes, `--quick` less than 5.

There are as many features as units, and TensorFlow runs in a `tf.function`. Keras is the stock layer with
`use_cudnn=False`; its goal holds for the faster of graph and XLA, so both rows have it. PyTorch is `nn.LSTM` and
`nn.GRU` with `batch_first`, whose candidate is computed as Keras's with `reset_after`. All have the same weights.
Outputs, last states and gradients with respect to inputs, kernels and bias are compared. Useful FLOPs are 2 (D + U) G U
for each valid step with G gates, and three times that with backward.

With lengths, PyTorch packs its inputs and pads its outputs, as its users must; the others return 0 beyond a length. If
there are several calls in a row, each takes the outputs of the last one as its inputs and starts from its states:
TensorFlow runs them as one graph, PyTorch from Python. If a call is too short for the goal, the row "Ikelos under XLA"
shows the difference in time.
"""

import compare
import numpy as np
from compare import Goal
from workers import Contender

KERAS, KERAS_XLA, PYTORCH, XLA = "Keras", "Keras under XLA", "PyTorch", "Ikelos under XLA"
GATES = {"lstm": 4, "gru": 3}
TIME = 100
# One call of a tf.function costs up to 0.6 ms for Python and for waking threads. A model pays this once for many ops,
# so calls of fewer FLOPs than this, which take some milliseconds, run four in a row.
SHORT = 5e8
# Tolerances: 8 and 11 bits, to which the peers round at each step.
HALF = {"bfloat16": 3e-2, "float16": 4e-3}

# (cell, batch, units, backward): the smallest ratios to PyTorch and to Keras.
#
# The goals of GRU ask for as many useful FLOPs a second as those of LSTM. They are the goals of LSTM, times the rate of
# the peer's LSTM divided by the rate of its GRU. Both rates were measured in the same run; of two runs, the smaller
# quotient was taken. PyTorch's GRU has no oneDNN kernel on a CPU and had 0.5 (B=1: 0.15 to 0.4) of the rate of its
# LSTM. Keras's GRU has the rate of its LSTM.
GOALS = {
    ("lstm", 1, 256, False): (1.4, 5.0),
    ("lstm", 32, 256, False): (1.1, 2.0),
    ("lstm", 64, 512, False): (1.05, 1.4),
    ("lstm", 1, 256, True): (1.4, 7.0),
    ("lstm", 32, 256, True): (1.2, 1.85),
    ("lstm", 64, 512, True): (1.2, 1.3),
    ("gru", 1, 256, False): (3.6, 5.0),
    ("gru", 32, 256, False): (2.1, 2.0),
    ("gru", 64, 512, False): (1.8, 1.4),
    ("gru", 1, 256, True): (9.0, 7.0),
    ("gru", 32, 256, True): (2.4, 1.85),
    ("gru", 64, 512, True): (2.0, 1.3),
}


def arguments(cell, batch, time, units, **others):
    """Returns the arguments of a case, for `inputs` and the contenders."""
    defaults = {"reset_after": True, "backward": False, "lengths": False, "repeat": 1, "dtype": "float32"}
    return {"cell": cell, "batch": batch, "time": time, "units": units, **defaults, **others}


def inputs(case):
    """Returns the inputs by name: arrays in Keras's layout, and `lengths`, int32 `[B]` or None."""
    draw = np.random.default_rng(0)
    batch, time, units, gates = case["batch"], case["time"], case["units"], GATES[case["cell"]]
    biases = [2] if case["cell"] == "gru" and case["reset_after"] else []

    def weights(*shape):
        """Returns weights from PyTorch's initial distribution."""
        return draw.uniform(-(units**-0.5), units**-0.5, shape).astype(np.float32)

    return {
        "inputs": draw.standard_normal((batch, time, units), np.float32),
        "weights": [weights(units, gates * units), weights(units, gates * units), weights(*biases, gates * units)],
        "state": [weights(batch, units) for _ in range(2 if case["cell"] == "lstm" else 1)],
        "output_grad": draw.standard_normal((batch, time, units), np.float32),
        "lengths": draw.integers(1, time + 1, batch, np.int32) if case["lengths"] else None,
    }


def useful_flops(case):
    lengths = inputs(case)["lengths"]
    steps = case["batch"] * case["time"] if lengths is None else int(lengths.sum())
    a_step = 4 * case["units"] ** 2 * GATES[case["cell"]]
    return steps * a_step * (3 if case["backward"] else 1) * case["repeat"]


def chained(run, inputs, state, repeat):
    """Makes `repeat` calls in a row, each on the outputs and states of the last.

    Returns:
        The outputs of the last call, and of the first if there are several; and the last states.
    """
    first, state = run(inputs, state)
    outputs = first
    for _ in range(repeat - 1):
        outputs, state = run(outputs, state)
    return [outputs] if repeat == 1 else [outputs, first], state


def tensorflow(build, jit_compile):
    """Returns `prepare` of a contender; `build(case, weights, lengths)` returns variables and `run(inputs, state)`."""

    def prepare(case):
        import tensorflow as tf

        given = inputs(case)
        x, output_grad, *state = (
            tf.cast(y, case["dtype"]) for y in (given["inputs"], given["output_grad"], *given["state"])
        )
        lengths = None if given["lengths"] is None else tf.constant(given["lengths"])
        variables, run = build(case, given["weights"], lengths)

        @tf.function(autograph=False, jit_compile=jit_compile)
        def compute(x, state, output_grad):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs, state = chained(run, x, state, case["repeat"])
            gradients = tape.gradient(outputs[0], [x, *variables], output_grad) if case["backward"] else []
            return [*outputs, *state, *gradients]

        def call():
            return compute(x, state, output_grad)

        return call, lambda: [tf.cast(y, tf.float32).numpy() for y in call()]

    return prepare


def ikelos(case, weights, lengths):
    import tensorflow as tf

    from ikelos import kernels

    variables = [tf.Variable(tf.cast(x, case["dtype"])) for x in weights]
    options = {} if case["cell"] == "lstm" else {"reset_after": case["reset_after"]}

    def run(x, state):
        outputs, last = getattr(kernels, case["cell"])(
            x,
            *variables,
            tuple(state) if case["cell"] == "lstm" else state[0],
            sequence_lengths=lengths,
            zero_output_for_mask=True,
            save_for_gradient=case["backward"],
            implementation="native",
            **options,
        )
        return outputs, list(last) if case["cell"] == "lstm" else [last]

    return variables, run


def keras(case, weights, lengths):
    import keras
    import tensorflow as tf

    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[case["cell"]](
        case["units"],
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
        use_cudnn=False,
        recurrent_initializer="zeros",  # the default has no 16-bit dtypes
        dtype=case["dtype"],
        **({} if case["cell"] == "lstm" else {"reset_after": case["reset_after"]}),
    )
    layer.build((case["batch"], case["time"], case["units"]))
    layer.set_weights(weights)
    mask = None if lengths is None else tf.sequence_mask(lengths, case["time"])

    def run(x, state):
        outputs, *last = layer(x, initial_state=state, mask=mask)
        return outputs, last

    return [weight.value for weight in layer.trainable_weights], run


def pytorch(case):
    import torch
    import torch_models
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    given, lstm = inputs(case), case["cell"] == "lstm"
    dtype = getattr(torch, case["dtype"])
    x, output_grad, *state = (
        torch.from_numpy(y).to(dtype) for y in (given["inputs"], given["output_grad"], *given["state"])
    )
    lengths = None if given["lengths"] is None else torch.from_numpy(given["lengths"]).long()
    layer = torch_models.recurrent(case["cell"], [given["weights"]]).to(dtype)
    wanted = [x.requires_grad_(case["backward"]), *(p for p in layer.parameters() if p.requires_grad)]
    first = tuple(y[None] for y in state) if lstm else state[0][None]

    def run(x, state):
        if lengths is None:
            return layer(x, state)
        packed, state = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), state)
        return pad_packed_sequence(packed, batch_first=True, total_length=case["time"])[0], state

    def call():
        with torch.inference_mode(not case["backward"]):
            outputs, state = chained(run, x, first, case["repeat"])
            return outputs, state, torch.autograd.grad(outputs[0], wanted, output_grad) if case["backward"] else []

    def results():
        outputs, state, gradients = call()
        states = [y[0] for y in (state if lstm else [state])]
        outputs, states, gradients = ([y.detach().float().numpy() for y in ys] for ys in (outputs, states, gradients))
        return [*outputs, *states, *gradients[:1], *torch_models.keras_weights(case["cell"], gradients[1:])]

    return call, results


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("lstm", shape=[32, TIME, 256]))


CONTENDERS = {
    compare.OURS: Contender(tensorflow(ikelos, jit_compile=False), about=about_ours),
    PYTORCH: Contender(pytorch, "torch"),
    KERAS: Contender(tensorflow(keras, jit_compile=False)),
    KERAS_XLA: Contender(tensorflow(keras, jit_compile=True)),
    XLA: Contender(tensorflow(ikelos, jit_compile=True)),
}


def case(kind, given, without=(), tolerance=1e-5):
    """Returns a case with all peers except those in `without`, and with the goals for its size, if there are any."""
    repeat = given["repeat"]
    cell, batch, units, backward = size = tuple(given[name] for name in ("cell", "batch", "units", "backward"))
    plain = given == arguments(cell, batch, TIME, units, backward=backward, repeat=repeat)
    pytorch, keras = (Goal(least) for least in GOALS[size]) if plain and size in GOALS else (None, None)
    if given["lengths"]:
        pytorch = Goal(1.3)
    peers = {PYTORCH: pytorch, KERAS: keras, KERAS_XLA: keras, XLA: compare.under_xla(repeat)}
    if given["time"] > 1:
        peers[compare.SGEMM] = None
    which = f"{cell.upper()}{'' if given['reset_after'] else ' reset before'} {kind}"
    name = f"{which} T={given['time']} B={batch} U={units}{f', {repeat} in a row' if repeat > 1 else ''}"
    peers = {peer: goal for peer, goal in peers.items() if peer not in without}
    return compare.Case(name, given, peers, useful_flops(given), tolerance, ", ".join(without))


def whole(cell, batch, units, backward, time=TIME, **others):
    """Returns the case of a whole sequence."""
    one = arguments(cell, batch, time, units, backward=backward, **others)
    repeat = 4 if useful_flops(one) < SHORT and not one["lengths"] else 1
    kind = f"{'forward+backward' if backward else 'forward'}{' random lengths' if one['lengths'] else ''}"
    # PyTorch's GRU applies the reset gate after the product.
    return case(kind, {**one, "repeat": repeat}, () if one["reset_after"] else (PYTORCH,))


def streaming(cell, units, repeat):
    """Returns the case of one step per call, with the states passed on."""
    return case("streaming", arguments(cell, 1, 1, units, repeat=repeat))


def half(dtype, cell, batch, units, time=TIME):
    return case(f"forward {dtype}", arguments(cell, batch, time, units, dtype=dtype), tolerance=HALF[dtype])


def cases(effort):
    both = (False, True)
    sizes = [size[1:3] for size in GOALS if size[0] == "lstm" and not size[3]]
    if effort == "smoke":
        chosen = [
            whole("lstm", 2, 8, True, time=6),
            whole("gru", 2, 8, False, time=6, reset_after=False),
            whole("gru", 3, 8, True, time=6, lengths=True),
            streaming("lstm", 8, 3),
            *(half(dtype, "gru", 2, 8, time=6) for dtype in HALF),
        ]
    else:
        chosen = [
            *(whole(cell, *size, backward) for cell in GATES for size in sizes for backward in both),
            *(whole(cell, 32, 256, backward, lengths=True) for cell in GATES for backward in both),
            *(streaming(cell, 256, repeat) for cell in GATES for repeat in (1, 64)),
            *(half(dtype, "lstm", 32, 256) for dtype in HALF),
        ]
    if effort == "full":
        chosen += [
            *(whole("lstm", 32, units, backward) for units in (128, 1024) for backward in both),
            *(whole(cell, 1, 256, backward, time=1000) for cell in GATES for backward in both),
            *(whole("gru", 32, 256, backward, reset_after=False) for backward in both),
            *(half(dtype, "gru", 32, 256) for dtype in HALF),
        ]
    return chosen


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
