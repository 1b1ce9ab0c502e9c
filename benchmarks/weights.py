"""Exports whose weights are stored in fewer bits: their size, load time and speed, and what the model loses.

    python benchmarks/weights.py [--run RUN] [--json PATH]

`bfloat16` stores each float32 matrix in half the bytes; `int8` stores it in a quarter, with one scale for each column
(the largest magnitude becomes 127). The graph converts them to float32 at the beginning of a call, because TensorFlow's
products on a CPU are fastest in float32. Vectors stay as they are. All exports are portable and run in `StockModel`.

The model is the Transformer of `generate.py`, 6 layers of 384, with random weights. `--run` takes that of a finished
run of a language model instead, such as of `ikelos run text_completion`, and measures what the first tokens of its
test text cost with each kind of weights. (A token is a character there.) The exports take turns; each figure is a
median.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time

import exported
import generate
import numpy as np
import step_transformer
import workers

KINDS = ("float32", "bfloat16", "int8")
ROUNDS, TOKENS = 3, 64


def is_stored_in_fewer_bits(variable):
    return variable.dtype == "float32" and len(variable.shape) > 1


def quantised(matrix):
    """Returns int8 values and a float32 scale for each column, whose product is close to a matrix."""
    scale = np.abs(matrix).max(axis=tuple(range(matrix.ndim - 1)), keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


class Stored:
    """The matrices of a model in fewer bits."""

    def __init__(self, model, kind):
        import tensorflow as tf

        self._replaced, self.held = [], tf.Module()
        self.held.variables_in_fewer_bits = []
        for variable in filter(is_stored_in_fewer_bits, model.variables if kind != "float32" else ()):
            value = variable.numpy()
            parts = [tf.cast(value, tf.bfloat16)] if kind == "bfloat16" else quantised(value)
            stored = [tf.Variable(part, trainable=False) for part in parts]
            self._replaced.append((variable, stored))
            self.held.variables_in_fewer_bits += stored

    def values(self):
        """Returns pairs of a variable of the model and its float32 value."""
        import tensorflow as tf

        pairs = []
        for variable, (stored, *scale) in self._replaced:
            value = tf.cast(stored, tf.float32)
            pairs.append((variable, value * scale[0] if scale else value))
        return pairs

    @contextlib.contextmanager
    def in_place(self):
        """Context manager in which the model has the float32 values."""
        before = [(variable, variable.numpy()) for variable, _ in self._replaced]
        for variable, value in self.values():
            variable.assign(value)
        try:
            yield
        finally:
            for variable, value in before:
                variable.assign(value)


def replaced(signature, stored):
    """Returns a signature that computes with the stored weights."""
    import keras

    def function(**inputs):
        with keras.StatelessScope(state_mapping=stored.values()):
            return signature.function(**inputs)

    return dataclasses.replace(signature, function=function)


def random_model(sizes):
    """Returns the model without training, its signatures, and a request of `generate` for a number of rows."""
    case = step_transformer.arguments(1, 512, **sizes)
    model = step_transformer.ikelos(case)

    def request(rows):
        return {"tokens": generate.prompts(case | {"batch": rows, "prompt": 32}), "length": [TOKENS] * rows}

    return model, exported.signatures(case, model), request, None


def trained_model(folder):
    """Returns the model of a run, its signatures, a request, and a function that measures nats per character."""
    from ikelos.pipelines import load, phases

    run = load(pathlib.Path(folder))
    (stage, model), preprocessing = next(iter(run.models.items())), run.preprocessing
    signatures = [
        x for x in run.task.signatures(preprocessing, {stage: model}) if x.name in ("serving_default", "generate")
    ]
    with tempfile.TemporaryDirectory() as kept:
        splits = phases.prepare(run.task, pathlib.Path(kept, "preprocessing"))

    def cost(tokens):
        from ikelos.pipelines.data.store import Ragged

        text = splits["test"].ragged("tokens")[0][:tokens].astype(np.int32)
        return float(np.concatenate(list(run.task.token_nll(model, Ragged.of([text])))).mean())

    def request(rows):
        return {
            "prompt": ["The king is dead, and so "] * rows,
            "length": [TOKENS] * rows,
            "temperature": [0.0] * rows,
            "top_k": [0] * rows,
            "top_p": [1.0] * rows,
            "seed": [0] * rows,
            "stop": [[""]] * rows,
        }

    return model, signatures, request, cost


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", metavar="RUN", help="folder of a run of a language model")
    parser.add_argument("--tokens", type=int, default=30_000, help="tokens of the test text whose cost is measured")
    parser.add_argument("--smoke", action="store_true", help="only check that everything runs")
    parser.add_argument("--json", metavar="PATH", help="file for the figures")
    options = parser.parse_args()
    os.environ.update(workers.environment(2))
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options, pathlib.Path(folder))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


def measure(options, folder):
    """Prints a row for each kind of weights, and returns the rows."""
    from ikelos import serving

    sizes = generate.TINY if options.smoke else generate.TEN_MILLION
    model, signatures, request, cost = trained_model(options.run) if options.run else random_model(sizes)
    rows, stocks = [], {}
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            stored = Stored(model, kind)
            version = serving.export(
                folder / kind, [model, stored.held], [replaced(signature, stored) for signature in signatures]
            )
            start = time.perf_counter()
            stocks[kind] = stack.enter_context(serving.StockModel(version))
            row = {"weights": kind, "load_s": time.perf_counter() - start}
            row["mb"] = sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) / 1e6
            with stored.in_place():
                row["nats"] = cost(options.tokens) if cost else None
            rows.append(row)
        times = {(kind, name): [] for kind in KINDS for name in ("score", 1, 8)}
        for _ in range(1 if options.smoke else ROUNDS):
            for kind, name in times:
                model_, inputs = stocks[kind], request(1 if name == "score" else name)
                signature = "serving_default" if name == "score" else "generate"
                if name == "score":
                    inputs = {"text": inputs["prompt"]} if cost else {"tokens": inputs["tokens"]}
                start = time.perf_counter()
                model_.run(signature, inputs)
                times[kind, name].append(time.perf_counter() - start)
    head = ("weights", "MB", "load s", "score ms", "tokens/s, batch 1", "batch 8", "nats/token")
    print("{:<10}{:>8}{:>8}{:>10}{:>19}{:>9}{:>12}".format(*head))
    for row in rows:
        score, one, eight = (statistics.median(times[row["weights"], name]) for name in ("score", 1, 8))
        row |= {"score_ms": 1e3 * score, "per_second_1": TOKENS / one, "per_second_8": 8 * TOKENS / eight}
        nats = "" if row["nats"] is None else f"{row['nats']:.4f}"
        print(
            f"{row['weights']:<10}{row['mb']:>8.1f}{row['load_s']:>8.2f}{row['score_ms']:>10.1f}"
            f"{row['per_second_1']:>19.0f}{row['per_second_8']:>9.0f}{nats:>12}"
        )
    return rows


if __name__ == "__main__":
    main()
