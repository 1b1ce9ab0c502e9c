"""Exports whose weights are stored in fewer bits: their size, load time and speed, and what the model loses.

    python benchmarks/weights.py [--run RUN] [--json PATH]

All exports are portable, of `ikelos.serving.export` with `weights="bfloat16"` and so on, and run in `StockModel`, which
computes float32 weights when it loads them.

The model is the Transformer of `generate.py`, 6 layers of 384, with random weights. `--run` takes that of a finished
run of a language model instead, such as of `ikelos run text_completion`, and measures what the first tokens of its
test text cost with each kind of weights. (A token is a character there.) The exports take turns; each figure is a
median.
"""

import argparse
import contextlib
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
ROUNDS, TOKENS = 5, 64
SHORT = "To be, or n"
"""A request of 11 characters."""


def random_model(sizes):
    """Returns the model without training, its signatures, requests of `generate` by rows, and one to score."""
    case = step_transformer.arguments(1, 512, **sizes)
    model = step_transformer.ikelos(case)

    def request(rows):
        return {"tokens": generate.prompts(case | {"batch": rows, "prompt": 32}), "length": [TOKENS] * rows}

    short = {"tokens": generate.prompts(case | {"batch": 1, "prompt": len(SHORT)})}
    return model, exported.signatures(case, model), request, short, None


def trained_model(folder):
    """Returns the model of a run, its signatures, requests as above, and a function that measures nats per token."""
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

    return [preprocessing, model], signatures, request, {"text": [SHORT]}, cost


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
    model, signatures, request, short, cost = trained_model(options.run) if options.run else random_model(sizes)
    rows, stocks = [], {}
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            version = serving.export(folder / kind, model, signatures, weights=kind)
            start = time.perf_counter()
            stocks[kind] = stack.enter_context(serving.StockModel(version))
            row = {"weights": kind, "load_s": time.perf_counter() - start}
            row["mb"] = sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) / 1e6
            with serving.stored_weights(model, kind):
                row["nats"] = cost(options.tokens) if cost else None
            rows.append(row)
        requests = {"score": ("serving_default", short), 1: ("generate", request(1)), 8: ("generate", request(8))}
        times = {(kind, name): [] for name in requests for kind in KINDS}
        for _ in range(1 if options.smoke else ROUNDS):
            for kind, name in times:
                start = time.perf_counter()
                stocks[kind].run(*requests[name])
                times[kind, name].append(time.perf_counter() - start)
    head = ("weights", "MB", "load s", "score ms", "tokens/s, batch 1", "batch 8", "nats/token")
    print("{:<10}{:>8}{:>8}{:>10}{:>19}{:>9}{:>12}".format(*head))
    for row in rows:
        score, one, eight = (statistics.median(times[row["weights"], name]) for name in ("score", 1, 8))
        row |= {"score_ms": 1e3 * score, "per_second_1": TOKENS / one, "per_second_8": 8 * TOKENS / eight}
        nats = "" if row["nats"] is None else f"{row['nats']:.5f}"
        print(
            f"{row['weights']:<10}{row['mb']:>8.1f}{row['load_s']:>8.2f}{row['score_ms']:>10.1f}"
            f"{row['per_second_1']:>19.0f}{row['per_second_8']:>9.0f}{nats:>12}"
        )
    return rows


if __name__ == "__main__":
    main()
