"""The run in the terminal."""

from collections.abc import Iterable

from rich import progress
from rich.console import Console

from ikelos.pipelines.metric import Metric
from ikelos.pipelines.training.history import Record, key


class Progress:
    """One moving line in a terminal; where the output is not one (a log file), a line each epoch."""

    def __init__(self, name: str, unit: str, metric: Metric, optimizers: Iterable[str], step: int, steps: int):
        """Starts with `step` of `steps` done; the metric is that of the validation."""
        self._console = Console()
        self._name, self._unit, self._metric, self._steps = name, unit, metric, steps
        self._losses = [key(optimizer, "loss") for optimizer in optimizers]
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[losses]}, {task.fields[validation]}, {task.fields[speed]}"),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
            refresh_per_second=4,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(
            name, total=steps, completed=step, losses="loss -", validation="validation -", speed=f"- {unit}/s"
        )
        self._bar.start()
        if step:
            self._console.print(f"{name}: continues after step {step} of {steps}")

    def step(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=step)

    def show(self, record: Record) -> None:
        """Shows the numbers of a record of the history."""
        if record["event"] == "step":
            speed = f"{record['units_per_second']:,.0f} {self._unit}/s"
            self._bar.update(self._task, losses=self._losses_of(record), speed=speed)
            return
        name = self._metric.name
        validation = f"validation {'' if name == 'loss' else f'{name} '}{self._validation_of(record)}"
        self._bar.update(self._task, validation=validation)
        if not self._console.is_terminal:
            self._console.print(
                f"{self._name}: step {record['step']}/{self._steps}, {self._losses_of(record)}, {validation}, "
                f"{record['seconds']:.0f} s",
                soft_wrap=True,
            )

    def _losses_of(self, record: Record) -> str:
        return ", ".join(f"{loss} {record[loss]:.4f}" for loss in self._losses)

    def _validation_of(self, record: Record) -> str:
        """The loss as precisely as the training's, any other metric as it is written."""
        value = record[f"validation_{self._metric.name}"]
        return f"{value:.4f}" if self._metric.name == "loss" else self._metric.text(value)

    def close(self) -> None:
        """Lets the terminal go on below."""
        self._bar.stop()
