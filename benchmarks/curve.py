"""Validation loss over time: the recipe language_modeling beside nanoGPT-style models in PyTorch, in one run.

    python benchmarks/curve.py [--minutes 5] [--torch-python PATH] [--json PATH] [--plot PATH]

Three models are trained one after the other on the same characters: our recipe; a GPT with nanoGPT's published
settings for Shakespeare on a CPU (4 layers, 128 wide, context 64, batches of 12, 2000 steps, whatever `--minutes`
says); and a GPT with the size, context and batch size of our recipe. The learning rates of the first and the last model
reach their end after `--minutes`; a short trial finds the number of steps. Times are seconds of training, without
validation. Losses are nats per character, the end of a play counted as a character, in windows of the model's context
that don't overlap. The first character of a peer's window is given to it and not counted; our windows predict their
first character too.

`--set KEY=VALUE` changes the recipe, `--quick` trains for a minute. `--json` writes a list of
{"model", "seconds", "steps", "nats_per_character"}.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

import compare
import numpy as np
import workers

MINUTES = {"full": 5.0, "quick": 1.0, "smoke": 0.001}
VALIDATIONS = 10
TRIAL_STEPS = 20


def ours(request):
    """Trains the recipe's model in this process and returns the points of its curve."""
    from ikelos.pipelines import phases, task
    from ikelos.pipelines import recipe as recipes
    from ikelos.pipelines.data import preparation
    from ikelos.pipelines.training import history

    folder = pathlib.Path(request["folder"])

    def train(name, steps, validations):
        overrides = [
            *request["set"],
            f"training.steps={steps}",
            f"training.steps_per_epoch={max(1, steps // validations)}",
            # The text samples after each validation are not needed here.
            "evaluation.samples.prompts=[]",
        ]
        recipe = recipes.load("language_modeling", overrides)
        modeling = task.of_recipe(recipe)
        prepared = preparation.prepare(modeling.preparation())
        for split in ("train", "validation"):
            np.save(folder / f"{split}.npy", prepared.splits[split].ragged("tokens").values.astype(np.int32))
        phases.train(modeling, prepared.learned, prepared.splits, lambda _: folder / name)
        records = history.read(folder / name / "history.jsonl")
        return (
            recipe.config,
            [record for record in records if record["event"] == "step"],
            [record for record in records if record["event"] == "epoch"],
        )

    _, (first, *_, last), _ = train("trial", TRIAL_STEPS, 1)
    a_step = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    # The first steps include tracing, which the whole run will do again.
    start = first["seconds"] - first["step"] * a_step
    config, _, epochs = train("whole", max(1, round((request["seconds"] - start) / a_step)), VALIDATIONS)
    sizes = {key: getattr(config.model, key) for key in ("context", "num_layers", "size", "num_heads")}
    return {
        "model": f"Ikelos {config.model.num_layers}x{config.model.size}",
        "points": [(record["seconds"], record["step"], record["validation_loss"]) for record in epochs],
        "settings": {**sizes, "batch_size": config.training.batch_size},
    }


def nano_gpt(request):
    """Trains a GPT as nanoGPT does and returns the points of its curve."""
    import torch
    import torch_models
    from torch.nn.functional import cross_entropy

    train, validation = (torch.from_numpy(np.load(request[split])).long() for split in ("train", "validation"))
    context, batch_size, peak = request["context"], request["batch_size"], request["learning_rate"]
    torch.manual_seed(1337)

    def build():
        model = torch_models.GPT(
            int(max(train.max(), validation.max())) + 1,
            context,
            request["num_layers"],
            request["size"],
            request["num_heads"],
        )
        matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
        scales = [parameter for parameter in model.parameters() if parameter.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": scales, "weight_decay": 0.0}]
        return model, torch.optim.AdamW(groups, peak, betas=(0.9, 0.99), fused=True)

    def rate(step, steps):
        warmup = min(100, steps // 2)
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))

    def advance(model, optimizer, step, steps):
        starts = torch.randint(len(train) - context, (batch_size,))
        windows = torch.stack([train[start : start + context + 1] for start in starts])
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        loss = cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    @torch.no_grad()
    def validate(model):
        total = 0.0
        for first in range(0, len(validation) - 1, 64 * context):
            # The last window of the text is shorter.
            piece = validation[first : first + 64 * context + 1]
            whole = (len(piece) - 1) // context * context
            parts = [(piece[:whole].view(-1, context), piece[1 : whole + 1].view(-1, context))] if whole else []
            if whole < len(piece) - 1:
                parts.append((piece[None, whole:-1], piece[None, whole + 1 :]))
            total += sum(cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item() for x, y in parts)
        return total / (len(validation) - 1)

    steps = request["steps"]
    if steps is None:
        model, optimizer = build()
        for step in range(TRIAL_STEPS):
            if step == TRIAL_STEPS // 2:
                start = time.perf_counter()
            advance(model, optimizer, step, TRIAL_STEPS)
        a_step = (time.perf_counter() - start) / (TRIAL_STEPS - TRIAL_STEPS // 2)
        steps = max(1, round(request["seconds"] / a_step))
    model, optimizer = build()
    seconds, points, every = 0.0, [], max(1, steps // VALIDATIONS)
    start = time.perf_counter()
    for step in range(steps):
        advance(model, optimizer, step, steps)
        if (step + 1) % every == 0 or step + 1 == steps:
            seconds += time.perf_counter() - start
            points.append((seconds, step + 1, validate(model)))
            start = time.perf_counter()
    return {"model": request["name"], "points": points}


TRAINERS = {"ours": ours, "nano_gpt": nano_gpt}


def trained(trainer, request, python, threads):
    """Runs a trainer in a separate process and returns its result."""
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "result.json"
        command = [python, __file__, "--train", trainer, json.dumps(request), str(result)]
        done = subprocess.run(command, env=workers.environment(threads), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{trainer} ended with status {done.returncode}:\n{done.stdout}{done.stderr[-4000:]}")
        return json.loads(result.read_text())


def curves(options, rows):
    """Prints the rows and appends them, curve by curve."""
    seconds = 60 * (MINUTES[options.effort] if options.minutes is None else options.minutes)

    def show(curve):
        for elapsed, step, loss in curve["points"]:
            print(f"{curve['model']:<28} {elapsed:>9.1f} {step:>7} {loss:>20.4f}", flush=True)
            rows.append({"model": curve["model"], "seconds": elapsed, "steps": step, "nats_per_character": loss})

    print(f"{'model':<28} {'seconds':>9} {'steps':>7} {'nats per character':>20}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        request = {"folder": folder, "set": options.set, "seconds": seconds}
        own = trained("ours", request, sys.executable, options.threads)
        show(own)
        torch = workers.torch_python(options.torch_python)
        if not torch:
            print("Not run: PyTorch (this interpreter does not have it, and --torch-python is not given)")
            return
        data = {split: str(pathlib.Path(folder) / f"{split}.npy") for split in ("train", "validation")}
        published = {"context": 64, "batch_size": 12, "num_layers": 4, "size": 128, "num_heads": 4}
        smoke = options.effort == "smoke"
        for settings, steps in ((published, 4 if smoke else 2000), (own["settings"], None)):
            name = f"nanoGPT {settings['num_layers']}x{settings['size']}"
            request = {**settings, **data, "name": name, "learning_rate": 1e-3, "steps": steps, "seconds": seconds}
            show(trained("nano_gpt", request, torch, options.threads))


def plot(rows, path):
    from matplotlib.figure import Figure

    from ikelos.pipelines.report import charts

    with charts.style():
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for model in dict.fromkeys(row["model"] for row in rows):
            its = [row for row in rows if row["model"] == model]
            minutes = [row["seconds"] / 60 for row in its]
            axes.plot(minutes, [row["nats_per_character"] for row in its], marker="o", markersize=4, label=model)
        axes.set_xlabel("minutes of training")
        axes.set_ylabel("validation loss, nats per character")
        axes.legend()
    figure.savefig(path, dpi=150)


def main():
    if sys.argv[1:2] == ["--train"]:
        trainer, request, result = sys.argv[2:]
        pathlib.Path(result).write_text(json.dumps(TRAINERS[trainer](json.loads(request))))
        return
    parser = compare.make_parser(__doc__)
    parser.add_argument("--minutes", type=float, help="minutes of training for each model, by default 5")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the recipe; repeatable"
    )
    options = parser.parse_args()
    with compare.written(options, plot) as rows:
        curves(options, rows)


if __name__ == "__main__":
    main()
