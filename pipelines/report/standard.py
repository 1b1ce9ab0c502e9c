"""Builds a report of a trained model: the standard sections, and between them those that the task adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ikelos.pipelines.data import description
from ikelos.pipelines.report import charts
from ikelos.pipelines.report.sections import Column, Headline, Picture, Section, Table, Tile

if TYPE_CHECKING:
    from ikelos.pipelines.task import Finished, Task
    from ikelos.pipelines.training.stage import Stage

_STAGES_SHOWN = 4
"""Most stages that have a tile each."""


def build(
    task: Task[Any, Any], stages: Sequence[Stage], finished: Finished[Any]
) -> tuple[dict[str, Any], list[Section]]:
    """Returns all figures of a run as facts for `report.json`, and the sections of its page."""
    training = {stage.name: training_facts(stage, finished.histories[stage.name]) for stage in stages}
    facts = {
        **finished.results,
        "training": training,
        "peers": [peer.model_dump() for peer in task.peers],
        "recipe": task.config.model_dump(mode="json"),
    }
    minutes = sum(values["minutes"] for values in training.values())
    sections = [
        headline(task, finished.results, training, stages),
        *task.showcase(finished),
        comparison(task, finished.results, minutes),
        *breakdown(task, finished.results),
        *(
            training_section(stage, finished.histories[stage.name], len(stages) > 1, finished.results.get("from"))
            for stage in stages
        ),
        *task.details(finished),
        data_table(finished.results),
        machine_table(finished.results),
    ]
    return facts, sections


def training_facts(stage: Stage, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns totals of a stage's training, and the native ops' shares of a step if they were measured."""
    last = history[-1]
    return {
        "steps": last["step"],
        stage.unit: last["units"],
        "passes": last["passes"],
        "minutes": last["seconds"] / 60,
        f"{stage.unit}_per_second": last["units"] / last["seconds"],
        "native_ops": next((record["native_ops"] for record in history if record["event"] == "profile"), None),
    }


def headline(
    task: Task[Any, Any], results: dict[str, Any], training: dict[str, Any], stages: Sequence[Stage]
) -> Headline:
    """Returns the headline: metrics, training time, amount of training data seen and number of parameters."""
    first, ours = task.metrics[0], results["model"]
    baselines = [values[first.name] for values in results["baselines"].values()]
    note = f"best baseline: {first.text(first.best(baselines))}" if baselines else ""
    minutes = sum(values["minutes"] for values in training.values())
    return Headline(
        tiles=[
            Tile(first.text(ours[first.name]), first.unit, note),
            *(Tile(metric.text(ours[metric.name]), metric.unit) for metric in task.metrics[1:]),
            Tile(f"{minutes:.1f} min", "of training", f"on a machine with {_gflops(results)}"),
            *_amounts(training, stages),
            Tile(_count(results["parameters"]), "parameters"),
        ]
    )


def _amounts(training: dict[str, Any], stages: Sequence[Stage]) -> list[Tile]:
    """Returns a tile for the training of each stage, or one for all if there are many."""
    if len(stages) > _STAGES_SHOWN:
        steps = sum(training[stage.name]["steps"] for stage in stages)
        return [Tile(str(len(stages)), "networks trained", f"{steps:,} steps")]
    return [
        Tile(
            _count(training[stage.name][stage.unit]),
            f"{stage.unit} seen" + (f" by {stage.name}" if len(stages) > 1 else ""),
            f"{training[stage.name]['steps']:,} steps",
        )
        for stage in stages
    ]


def comparison(task: Task[Any, Any], results: dict[str, Any], minutes: float) -> Picture:
    """Returns the chart of the first metric of the model, its baselines and its peers."""
    metric = task.metrics[0]
    bars = [
        charts.Bar(task.model_name, results["model"][metric.name], minutes, "ours"),
        *(
            charts.Bar(name, values[metric.name], values["minutes"], "baseline")
            for name, values in results["baselines"].items()
        ),
        *(charts.Bar(peer.name, peer.value, peer.minutes, "peer") for peer in task.peers),
    ]
    words = "; ".join(f"{bar.label} {metric.text(bar.value)}" for bar in bars)
    return Picture(
        heading="Against baselines and peers" if task.peers else "Against baselines",
        prose=[
            *task.about_comparison(results),
            *(f"{text[0].upper()}{text[1:]}." for text in task.about_weights(results)),
        ],
        figure=charts.comparison(bars, metric),
        alt=f"{_title(metric.unit)}: {words}",
    )


def breakdown(task: Task[Any, Any], results: dict[str, Any]) -> Iterator[Table]:
    """Yields the table of the figures for each part of the held-out data, if the task has such parts."""
    if task.breakdown is None or not results["model"][task.breakdown.name]:
        return
    parts = list(results["model"][task.breakdown.name].items())
    baselines = results["baselines"]
    metrics = [metric for metric in task.metrics if metric.name in parts[0][1]]
    first = metrics[0]
    shown = task.breakdown.shown
    hidden = len(parts) - shown
    yield Table(
        heading=f"By {task.breakdown.part}",
        prose=[f"The first {shown}; report.json has {hidden:,} more."] if hidden > 0 else [],
        columns=[
            Column(_title(task.breakdown.part)),
            Column(_title(task.counted), ",d"),
            *(Column(_title(metric.unit), metric.format) for metric in metrics),
            *(Column(f"{name}, {first.unit}", first.format) for name in baselines),
        ],
        rows=[
            [
                part,
                values[task.counted],
                *(values[metric.name] for metric in metrics),
                *(others[task.breakdown.name][part][first.name] for others in baselines.values()),
            ]
            for part, values in parts[:shown]
        ],
    )


def training_section(
    stage: Stage, history: Sequence[dict[str, Any]], named: bool, start: dict[str, Any] | None = None
) -> Picture:
    """Returns the section on a stage's training.

    Args:
        stage: The stage.
        history: The stage's training records.
        named: Whether the heading names the stage.
        start: Content of `from.json`, which names the run whose weights the training began with; or None.
    """
    facts = training_facts(stage, history)
    began = (
        [
            f"Training began with the weights of the run {start['run']}, whose checkpoint's SHA-256 begins with "
            f"{start['checkpoints'][stage.name]['sha256'][:16]}."
        ]
        if start
        else []
    )
    # By step, because a kill just after such a record was written may lead to a second one.
    longer = {record["step"]: record for record in history if record["event"] == "longer"}.values()
    return Picture(
        heading=f"Training: {stage.name.replace('_', ' ')}" if named else "Training",
        prose=[
            f"{facts[stage.unit]:,} {stage.unit} seen, {facts['passes']:.1f} passes over the training data, "
            f"{facts[f'{stage.unit}_per_second']:,.0f} {stage.unit} a second.",
            *began,
            *_about_native_ops(facts["native_ops"]),
            *(
                f"At step {record['step']:,} the total was raised from {record['planned']:,} to {record['steps']:,} "
                f"steps. From there on the learning rate is that of a schedule of {record['steps']:,} steps."
                for record in longer
            ),
        ],
        figure=charts.training_curves(
            history, {name: settings.clip_norm for name, settings in stage.training.optimizers}, stage.metric
        ),
        alt="Loss, gradient norm with clipped steps, and learning rate over the training steps.",
    )


def _about_native_ops(shares: dict[str, float] | None) -> Iterator[str]:
    """Yields a sentence on the native ops' share of a training step, if it was measured."""
    if shares:
        of = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        yield f"In a profile of some steps, native ops took {sum(shares.values()):.1%} of the time of all ops: {of}."
    elif shares is not None:
        yield "In a profile of some steps, no native op ran."


def data_table(results: dict[str, Any]) -> Table:
    """Returns the table of the splits, with the examples that were left out."""
    faults = [fault for split in results["data"].values() for fault in split["faults"]]
    number = sum(sum(split["skipped"].values()) for split in results["data"].values())
    words = "1 faulty example was left out" if number == 1 else f"{number:,} faulty examples were left out"
    named = f" {words}{', the first of them' if number > len(faults) else ''}: {'; '.join(faults)}." if faults else ""
    return Table(
        heading="The data",
        prose=[f"The data as prepared; its checksum identifies it.{named}"],
        columns=[
            Column("Split"),
            Column("Examples", ",d"),
            Column("Size", "s"),
            Column("Left out"),
            Column("SHA-256"),
        ],
        rows=[
            [
                name,
                split["examples"],
                _size(split["bytes"]),
                description.left_out(split) or "none",
                split["sha256"][:16],
            ]
            for name, split in results["data"].items()
        ],
    )


def machine_table(results: dict[str, Any]) -> Table:
    """Returns the table about the machine on which the figures were measured."""
    machine = results["machine"]
    return Table(
        heading="The machine",
        columns=[Column("Property"), Column("Value")],
        rows=[
            ["Processor", f"{machine['cpu']}, {machine['cores']} cores"],
            ["float32 matrix product (2048³)", _gflops(results)],
            ["Peak memory", f"{results['peak_memory_bytes'] / 1e9:.1f} GB"],
            ["TensorFlow", machine["tensorflow"]],
            ["Python", machine["python"]],
        ],
    )


def _title(words: str) -> str:
    """Returns the text with its first letter capitalised and the rest unchanged: BLEU stays BLEU."""
    return words[:1].upper() + words[1:]


def _count(number: int) -> str:
    """Returns a number as text, from a million on in millions."""
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.2f} M"


def _size(number: int) -> str:
    """Returns a number of bytes as text in kB or MB."""
    if number < 1e6:
        return f"{number / 1e3:,.1f} kB"
    return f"{number / 1e6:,.1f} MB"


def _gflops(results):
    return f"{results['machine']['sgemm_gflops']:.0f} GFLOP/s"
