"""Training steps of the language model: native kernels beside Keras's layers, PyTorch, and our own reference graph.

    python benchmarks/step.py [--quick] [--torch-python PATH] [--json PATH] [--plot PATH]
    python benchmarks/step.py --profile FOLDER

A step is forward, backward and AdamW of `ikelos.layers.TransformerLanguageModel` with the sizes of the recipe
language_modeling, without its n-gram embeddings: 4 layers, 256 wide, 4 heads, 4096 tokens. All start from the same
weights and see the same tokens; the losses of their first three steps are compared before they are timed. Keras's model
is made of `MultiHeadAttention`, `RMSNormalization` and `Dense`; PyTorch's is in `torch_models.py`, run eagerly.
`compare.py` explains the options and the table.

`--profile` instead writes a TensorFlow profile of ten native steps at T = 1024 to a folder for TensorBoard, and prints
the ops that took the longest.
"""

import contextlib
import pathlib

import compare
import numpy as np
from compare import Goal
from workers import Contender

KERAS, PYTORCH, REFERENCE = "Keras layers", "PyTorch eager", "Ikelos reference"
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 1e-3, 0.1, 1e-8
# In the order in which `weights` draws them; the models name their parts so.
PROJECTIONS = ("query", "key", "value", "output", "gate", "up", "down")


def arguments(batch, time, layers=4, size=256, heads=4, hidden=672, vocabulary=96):
    return {
        "batch": batch,
        "time": time,
        "layers": layers,
        "size": size,
        "heads": heads,
        "hidden": hidden,
        "vocabulary": vocabulary,
    }


def tokens(case):
    """Inputs and targets, int32 `[B,T]` each."""
    return np.random.default_rng(1).integers(0, case["vocabulary"], (2, case["batch"], case["time"]), np.int32)


def weights(case):
    """Embedding, the seven projections of each layer (inputs by outputs), and the head; all scales are 1."""
    draw, size, hidden = np.random.default_rng(0), case["size"], case["hidden"]

    def normal(*shape):
        return 0.02 * draw.standard_normal(shape, np.float32)

    shapes = [(size, size)] * 4 + [(size, hidden)] * 2 + [(hidden, size)]
    layers = [
        {name: normal(*shape) for name, shape in zip(PROJECTIONS, shapes, strict=True)} for _ in range(case["layers"])
    ]
    return normal(case["vocabulary"], size), layers, normal(size, case["vocabulary"])


def tensorflow(build, implementation=None):
    """A contender from `build(case)`, which makes a Keras model with the case's weights; of our kernels it takes the
    implementation given."""

    def prepare(case):
        import keras
        import tensorflow as tf

        from ikelos import kernels

        x, y = (tf.constant(part) for part in tokens(case))
        model = build(case)
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


def ikelos(case):
    from ikelos.layers import TransformerLanguageModel

    model = TransformerLanguageModel(
        case["vocabulary"], case["time"], case["layers"], case["size"], case["heads"], case["hidden"]
    )
    model.build((None, case["time"]))
    embedding, layers, head = weights(case)
    model.embedding.embeddings.assign(embedding)
    model.head.kernel.assign(head)
    for block, layer in zip(model.blocks, layers, strict=True):
        attention, network = block.attention, block.feed_forward
        parts = (attention.query, attention.key, attention.value, attention.output_projection)
        for part, name in zip((*parts, network.gate, network.up, network.down), PROJECTIONS, strict=True):
            part.kernel.assign(layer[name])
    return model


def keras(case):
    import keras
    import tensorflow as tf

    from ikelos.layers import RotaryEmbedding

    size, heads, hidden = case["size"], case["heads"], case["hidden"]
    rotate = RotaryEmbedding()

    class RotaryAttention(keras.layers.MultiHeadAttention):
        """Turns queries and keys on their way: Keras has no layer that does."""

        def _compute_attention(self, query, key, value, *args, **kwargs):
            positions = tf.range(tf.shape(query)[1])
            return super()._compute_attention(rotate(query, positions), rotate(key, positions), value, *args, **kwargs)

    def dense(units, activation=None):
        return keras.layers.Dense(units, activation, use_bias=False)

    embedding, layers, head = weights(case)
    inputs = keras.Input((case["time"],), dtype="int32")
    hidden_states = keras.layers.Embedding(case["vocabulary"], size, weights=[embedding])(inputs)
    for layer in layers:
        attention = RotaryAttention(heads, size // heads, use_bias=False)
        normalised = keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)
        hidden_states += attention(normalised, normalised, use_causal_mask=True)
        gate, up, down = dense(hidden, "silu"), dense(hidden), dense(size)
        normalised = keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)
        hidden_states += down(gate(normalised) * up(normalised))
        split = (size, heads, size // heads)
        attention.query_dense.kernel.assign(layer["query"].reshape(split))
        attention.key_dense.kernel.assign(layer["key"].reshape(split))
        attention.value_dense.kernel.assign(layer["value"].reshape(split))
        attention.output_dense.kernel.assign(layer["output"].reshape(heads, size // heads, size))
        for part, name in zip((gate, up, down), PROJECTIONS[4:], strict=True):
            part.kernel.assign(layer[name])
    logits = dense(case["vocabulary"])
    model = keras.Model(inputs, logits(keras.layers.RMSNormalization(epsilon=1e-6)(hidden_states)))
    logits.kernel.assign(head)
    return model


def pytorch(case):
    import torch
    import torch_models

    x, y = (torch.from_numpy(part).long() for part in tokens(case))
    model = torch_models.Llama(*weights(case), heads=case["heads"], time=case["time"])
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, betas=(0.9, 0.999), eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True
    )

    def step():
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: [np.array([step().item() for _ in range(3)])]


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("attention", shape=[4, 1024, 4, 64]))


CONTENDERS = {
    compare.OURS: Contender(tensorflow(ikelos, "native"), about=about_ours),
    KERAS: Contender(tensorflow(keras)),
    PYTORCH: Contender(pytorch, "torch"),
    REFERENCE: Contender(tensorflow(ikelos, "reference")),
}


def cases(effort):
    shapes = [(32, 128), (4, 1024)]
    goals = {1024: {KERAS: Goal(1.5), PYTORCH: Goal(1.1), REFERENCE: None}}
    peers = {KERAS: None, PYTORCH: None, REFERENCE: None}
    if effort == "smoke":
        tiny = arguments(2, 16, layers=1, size=32, heads=2, hidden=48, vocabulary=20)
        return [compare.Case("step T=16 B=2", tiny, peers)]
    return [
        compare.Case(f"step T={time} B={batch}", arguments(batch, time), goals.get(time, peers))
        for batch, time in shapes
    ]


def profile(folder, effort, count=10):
    """Profiles steps in this process and prints the ops by the time that they took."""
    import tensorflow as tf

    smallest, largest = cases("smoke")[0], cases("full")[-1]
    call, warm_up = CONTENDERS[compare.OURS].prepare((smallest if effort == "smoke" else largest).arguments)
    warm_up()
    tf.profiler.experimental.start(folder)
    for _ in range(count):
        call()
    tf.profiler.experimental.stop()
    times = op_seconds(folder)
    total = sum(times.values())
    print(f"\n{'op':<40} {'ms a step':>10} {'share':>7}")
    for name, seconds in sorted(times.items(), key=lambda item: -item[1])[:20]:
        print(f"{name:<40} {1e3 * seconds / count:>10.2f} {seconds / total:>7.1%}")


def op_seconds(folder):
    """From each op's type to the seconds that its kernels ran, of the newest profile in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    newest = max(pathlib.Path(folder).rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    space = xplane_pb2.XSpace.FromString(newest.read_bytes())
    times = {}
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        for line in plane.lines:
            for event in line.events:
                # An op's event is "name:Type"; the runtime's own are C++ names.
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name and not name.endswith(":") and kind.isidentifier():
                    times[kind] = times.get(kind, 0.0) + event.duration_ps / 1e12
    return times


def main():
    parser = compare.make_comparison_parser(__doc__)
    parser.add_argument("--profile", metavar="FOLDER", help="profile our steps, and time nothing")
    options = parser.parse_args()
    if options.profile:
        profile(options.profile, options.effort)
    else:
        compare.run(options, CONTENDERS, cases, __file__)


if __name__ == "__main__":
    main()
