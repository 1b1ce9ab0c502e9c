"""Greedy decoding in the graph beside Hugging Face's `generate`, with the same weights and so the same tokens.

    python benchmarks/generate.py [--quick] [--torch-python PATH] [--json PATH]

`--quick` takes some three minutes.

The model is a Transformer with rotary positions, RMS norms and gated networks: `ikelos.layers.TransformerLanguageModel`
and, with the same arithmetic, `LlamaForCausalLM`. A case's time is that of the prompt and all tokens, of which a case
with one token is the prompt's share. A portable or native export is a SavedModel that `StockModel` runs, as a server
does; otherwise we run a `tf.function`. "Weights read once" is a sum over as many bytes as the weights have, once for
each token: no decoding at batch size 1 whose weights don't fit into the caches is faster. "Capacity of the text" has
caches of just the size of the text, where ours in that case have room for 4,096 tokens.
"""

import compare
import exported
import numpy as np
import step_transformer
from compare import Goal
from workers import Contender

IN_PROCESS, WITHOUT_CACHE, SHORT = "a tf.function", "Ikelos without a cache", "capacity of the text"
HUGGING_FACE, LIMIT = "Hugging Face", "weights read once"


def prompts(case):
    return np.random.default_rng(1).integers(0, case["vocabulary"], (case["batch"], case["prompt"]), np.int32)


def ours(case):
    """Prepares the export of the case's flavour, or if it has none, a `tf.function`."""
    return stock(case) if case["flavour"] else tensorflow()(case)


def stock(case):
    model = exported.stock_model(case, case["flavour"])
    inputs = {"tokens": prompts(case), "length": np.full([case["batch"]], case["length"], np.int32)}

    def call():
        return model.run(exported.GENERATE, inputs)["tokens"][:, : case["length"]]

    return call, lambda: [call()]


def tensorflow(cached=True, room=True):
    """Returns `prepare` of a contender that decodes in a `tf.function`."""

    def prepare(case):
        import tensorflow as tf

        from ikelos import kernels
        from ikelos.layers.decoding import WithoutCache, generate, greedy

        model = step_transformer.ikelos(case)
        tokens = tf.constant(prompts(case))
        rows, width = tokens.shape
        length = max(case["capacity"] - width, case["length"]) if room else case["length"]
        end = case["vocabulary"]  # a token that the model never writes

        def choose(logits, step, written):
            return tf.where(step >= case["length"], end, greedy(logits, step, written))

        @tf.function(autograph=False)
        def run(tokens):
            with kernels.use("native"):
                return generate(
                    model if cached else WithoutCache(model),
                    tokens,
                    tf.fill([rows], width),
                    tf.fill([rows], length),
                    choose,
                    end,
                )[:, : case["length"]]

        return lambda: run(tokens).numpy(), lambda: [run(tokens).numpy()]

    return prepare


def hugging_face(case):
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=case["vocabulary"],
        hidden_size=case["size"],
        intermediate_size=case["hidden"],
        num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"],
        max_position_embeddings=case["time"],
        rms_norm_eps=1e-6,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    embedding, layers, head = step_transformer.weights(case)
    values = {"model.embed_tokens.weight": embedding, "lm_head.weight": head.T}
    for index, layer in enumerate(layers):
        prefix = f"model.layers.{index}"
        for name, key in zip("qkvo", ("query", "key", "value", "output"), strict=True):
            values[f"{prefix}.self_attn.{name}_proj.weight"] = layer[key].T
        for name in ("gate", "up", "down"):
            values[f"{prefix}.mlp.{name}_proj.weight"] = layer[name].T
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in values.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    # Every other parameter must have a weight of the case.
    assert all("norm" in name for name in missing), missing
    assert not unexpected, unexpected
    tokens = torch.from_numpy(prompts(case)).long()

    def call():
        with torch.inference_mode():
            return model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=case["length"],
                min_new_tokens=case["length"],
                do_sample=False,
                pad_token_id=0,
            )

    return call, lambda: [call()[:, tokens.shape[1] :].numpy().astype(np.int32)]


def weights_read_once(case):
    import tensorflow as tf

    _, layers, head = step_transformer.weights(case)
    count = head.size + sum(x.size for layer in layers for x in layer.values())
    weights = tf.random.uniform([count])

    @tf.function(autograph=False)
    def run(weights):
        # Each sum depends on the last, so that none is left out.
        return tf.while_loop(
            lambda step, total: step < case["length"],
            lambda step, total: (step + 1, tf.reduce_sum(weights) + 0.0 * total),
            [0, 0.0],
        )

    # It computes no tokens to compare.
    return lambda: run(weights), lambda: tensorflow()(case)[1]()


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("cached_attention", shape=[1, 1, 4, 64]))


CONTENDERS = {
    compare.OURS: Contender(ours, about=about_ours),
    HUGGING_FACE: Contender(hugging_face, "torch"),
    IN_PROCESS: Contender(tensorflow()),
    WITHOUT_CACHE: Contender(tensorflow(cached=False)),
    SHORT: Contender(tensorflow(room=False)),
    LIMIT: Contender(weights_read_once),
}


def case(name, peers, batch, prompt, length, capacity=0, context=4096, flavour=None, **sizes):
    arguments = step_transformer.arguments(batch, context, **sizes)
    arguments |= {"prompt": prompt, "length": length, "capacity": capacity, "flavour": flavour}
    name = f"{name}, {flavour or 'in process'}"
    # The tokens are equal or they are not.
    return compare.Case(name, arguments, peers, tolerance=0.0)


TINY = {"layers": 1, "size": 16, "heads": 2, "hidden": 24, "vocabulary": 20}
SMALL = {"layers": 4, "size": 256, "heads": 4, "hidden": 672, "vocabulary": 96}
TEN_MILLION = {"layers": 6, "size": 384, "heads": 6, "hidden": 1024, "vocabulary": 2000}
LARGE = {"layers": 12, "size": 768, "heads": 12, "hidden": 2048, "vocabulary": 32000}


def beside_hugging_face(sizes, goals):
    """Returns the cases of a model: whole texts in batches of 1 and 8, and their prompts with one token."""
    name = f"{sizes['layers']} layers of {sizes['size']}, 32 + "
    cases = []
    for length in (128, 1):
        for batch in (1, 8):
            for flavour, goal in goals.items():
                peers = {HUGGING_FACE: Goal(least=goal) if length > 1 else None}
                if length > 1 and flavour is None:
                    peers[LIMIT] = None
                cases.append(
                    case(f"{name}{length} tokens, batch {batch}", peers, batch, 32, length, flavour=flavour, **sizes)
                )
    return cases


def cases(effort):
    if effort == "smoke":
        peers = dict.fromkeys([HUGGING_FACE, WITHOUT_CACHE, SHORT, LIMIT])
        found = [case("decode 6 tokens", peers, 2, 3, 6, capacity=20, context=16, **TINY)]
        peers = dict.fromkeys([HUGGING_FACE, IN_PROCESS])
        flavours = (exported.PORTABLE, exported.NATIVE)
        return found + [case("decode 6 tokens", peers, 2, 3, 6, context=16, flavour=x, **TINY) for x in flavours]
    found = beside_hugging_face(TEN_MILLION, {None: 2.0, exported.NATIVE: 2.0, exported.PORTABLE: 1.5})
    peers = {SHORT: Goal(least=1 / 1.15)}
    found.append(case("4 layers of 256, 480 of 4096 tokens, batch 1", peers, 1, 32, 480, capacity=4096, **SMALL))
    if effort == "quick":
        return found
    peers = {WITHOUT_CACHE: Goal(least=5.0), HUGGING_FACE: None}
    found.append(case("4 layers of 256, 512 tokens, batch 1", peers, 1, 1, 511, **SMALL))
    return found + beside_hugging_face(LARGE, {None: 1.0, exported.NATIVE: 1.0, exported.PORTABLE: 1.0})


if __name__ == "__main__":
    compare.main(__doc__, CONTENDERS, cases, __file__)
