"""Training steps of language models: the native kernels beside Keras's layers, PyTorch, and the reference kernels.

    python benchmarks/step.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/step.py --profile FOLDER [--cases PATTERN] [--quick] [--threads N]

A step is forward, backward and AdamW on 4096 tokens of a vocabulary of 96. The models are

  - `ikelos.layers.TransformerLanguageModel` with 4 layers, 256 wide, and 4 heads. With Keras, it is made of
    `MultiHeadAttention`, `RMSNormalization` and `Dense`.
  - `ikelos.layers.LSTMLanguageModel` with 2 layers, 256 wide. With Keras, it is made of `LSTM` and `Dense`.

PyTorch's models are in `torch_models.py`, run eagerly and by `torch.compile` (inductor), which needs g++. All start
from the same weights and see the same tokens; the losses of their first three steps are compared before they are timed.
`compare.py` explains the options and the table.

`--profile` instead writes a TensorFlow profile of ten native steps of one case to a folder for TensorBoard, and prints
the time that each part of the step and each type of op took. By default it takes the Transformer at T = 1024. There an
op runs after the other, so the times add up; otherwise TensorFlow runs ops side by side, which share the cores.
"""

import contextlib
import os
import pathlib
import re
import shutil

import compare
import numpy as np
import step_lstm
import step_transformer
import workers
from compare import Goal
from workers import Contender

KERAS, PYTORCH, COMPILED, REFERENCE = "Keras layers", "PyTorch eager", "PyTorch compiled", "Ikelos reference"
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 1e-3, 0.1, 1e-8
MODELS = {"transformer": step_transformer, "lstm": step_lstm}
# The first pattern that a profiled op, "name:Type", contains names its part of the step. Gradients have the name of the
# layer too.
PARTS = {
    "matrix products, backward": "^gradient_tape/.*MatMul$",
    "matrix products, forward": "MatMul$",
    "attention, LSTM": ":Ikelos(Attention|Lstm)",
    "RMS normalisation": ":IkelosRmsNorm",
    "SwiGLU": ":IkelosSwiglu|/feed_forward",
    "rotary positions": "/rotary",
    "cross-entropy": "CrossEntropy|^Mean",
    "optimizer": "^adam",
    "embedding": "/embedding|UnsortedSegmentSum",
}
OTHER_PART = "residual sums and others"


def tokens(case):
    """Returns inputs and targets, int32 `[B,T]` each."""
    return np.random.default_rng(1).integers(0, case["vocabulary"], (2, case["batch"], case["time"]), np.int32)


def tensorflow(build, implementation=None):
    """Returns `prepare` of a contender.

    Args:
        build: Name of the function, in the modules of `MODELS`, that builds a Keras model from a case.
        implementation: Implementation of our kernels to use, or None.
    """

    def prepare(case):
        import keras
        import tensorflow as tf

        from ikelos import kernels

        x, y = (tf.constant(part) for part in tokens(case))
        model = getattr(MODELS[case["model"]], build)(case)
        optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY, epsilon=EPSILON)
        optimizer.build(model.trainable_variables)

        @tf.function(autograph=False)
        def step(x, y):
            with kernels.use(implementation) if implementation else contextlib.nullcontext():
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
                gradients = tape.gradient(loss, model.trainable_variables)
            # Keras's optimizers square the slices of an embedding's gradient one by one, also those of the same row.
            optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], model.trainable_variables)
            return loss

        return lambda: step(x, y), lambda: [np.array([step(x, y).numpy() for _ in range(3)])]

    return prepare


def pytorch(case, compiled=False):
    import torch

    x, y = (torch.from_numpy(part).long() for part in tokens(case))
    model = MODELS[case["model"]].pytorch(case)
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, betas=(0.9, 0.999), eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True
    )

    def forward():
        return torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())

    if compiled:
        forward = torch.compile(forward)

    def step():
        loss = forward()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: [np.array([step().item() for _ in range(3)])]


def pytorch_compiled(case):
    return pytorch(case, compiled=True)


def about_ours():
    from ikelos.kernels import dispatch

    shapes = {"attention": [4, 1024, 4, 64], "lstm": [32, 128, 256]}
    return ", ".join(f"{op} {dispatch.explain(op, shape=shape)}" for op, shape in shapes.items())


CONTENDERS = {
    compare.OURS: Contender(tensorflow("ikelos", "native"), about=about_ours),
    KERAS: Contender(tensorflow("keras")),
    PYTORCH: Contender(pytorch, "torch"),
    COMPILED: Contender(pytorch_compiled, "torch"),
    REFERENCE: Contender(tensorflow("ikelos", "reference")),
}


def case(name, arguments, goals=False):
    peers = {KERAS: Goal(1.5), PYTORCH: Goal(1.1)} if goals else {KERAS: None, PYTORCH: None}
    if arguments["model"] != "lstm":  # which torch.compile leaves to the same library as eager PyTorch
        peers[COMPILED] = None
    name = f"{name} step T={arguments['time']} B={arguments['batch']}"
    return compare.Case(name, arguments, {**peers, REFERENCE: None})


def cases(effort):
    if effort == "smoke":
        return [
            case("Transformer", step_transformer.arguments(2, 16, 1, size=32, heads=2, hidden=48, vocabulary=20)),
            case("LSTM", step_lstm.arguments(2, 16, size=8, vocabulary=20)),
        ]
    return [
        case("Transformer", step_transformer.arguments(4, 1024), goals=True),
        case("Transformer", step_transformer.arguments(32, 128)),
        case("LSTM", step_lstm.arguments(32, 128), goals=True),
    ]


def profile(folder, case, count=10):
    """Profiles steps in this process, and prints the time of each part and of the types of op that took the longest."""
    import tensorflow as tf

    call, warm_up = CONTENDERS[compare.OURS].prepare(case.arguments)
    warm_up()
    tf.profiler.experimental.start(folder)
    for _ in range(count):
        call()
    tf.profiler.experimental.stop()
    times = op_seconds(folder)
    for title, name_of in (("part", part), ("op", lambda op: op.rpartition(":")[2])):
        sums = {}
        for op, seconds in times.items():
            sums[name_of(op)] = sums.get(name_of(op), 0.0) + seconds
        print(f"\n{title:<40} {'ms a step':>10} {'share':>7}")
        for name, seconds in sorted(sums.items(), key=lambda item: -item[1])[:20]:
            print(f"{name:<40} {1e3 * seconds / count:>10.2f} {seconds / sum(times.values()):>7.1%}")


def part(op):
    """Returns the part of the step to which an op, "name:Type", belongs."""
    return next((name for name, pattern in PARTS.items() if re.search(pattern, op)), OTHER_PART)


def op_seconds(folder):
    """Returns the seconds that each op, "name:Type", ran, from the newest profile in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    newest = max(pathlib.Path(folder).rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    space = xplane_pb2.XSpace.FromString(newest.read_bytes())
    times = {}
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        for line in plane.lines:
            for event in line.events:
                # Other events of the runtime have names of C++ functions.
                op = plane.event_metadata[event.metadata_id].name
                name, _, kind = op.rpartition(":")
                if name and not name.endswith(":") and kind.isidentifier():
                    times[op] = times.get(op, 0.0) + event.duration_ps / 1e12
    return times


def available():
    """Returns the contenders that can run here, and prints a line for one that cannot."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler):
        return CONTENDERS
    print(f"Not run: {COMPILED} (inductor needs a C++ compiler, and there is no {compiler})")
    return {name: contender for name, contender in CONTENDERS.items() if name != COMPILED}


def main():
    parser = compare.make_comparison_parser(__doc__)
    parser.add_argument("--profile", metavar="FOLDER", help="profile our steps instead of timing")
    options = parser.parse_args()
    if options.profile:
        # Read when TensorFlow starts. One op at a time, or the times of ops that share the cores would not add up.
        os.environ.update(workers.environment(options.threads, options.isa) | {"TF_NUM_INTEROP_THREADS": "1"})
        profile(options.profile, compare.named(cases(options.effort), options.cases)[0])
    else:
        compare.run(options, available(), cases, __file__)


if __name__ == "__main__":
    main()
