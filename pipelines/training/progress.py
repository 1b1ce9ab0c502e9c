"""The run in the terminal."""

from rich import progress
from rich.console import Console

from ikelos.pipelines.training.history import Record


class Progress:
    """One moving line in a terminal; where the output is not one (a log file), a line each epoch."""

    def __init__(self, name: str, unit: str, step: int, steps: int):
        """Starts with `step` of `steps` done."""
        self._console = Console()
        self._name, self._unit, self._steps = name, unit, steps
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("loss {task.fields[loss]} validation {task.fields[validation]} {task.fields[speed]}"),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
            refresh_per_second=4,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(
            name, total=steps, completed=step, loss="-", validation="-", speed=f"- {unit}/s"
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
            self._bar.update(self._task, loss=f"{record['loss']:.4f}", speed=speed)
            return
        self._bar.update(self._task, validation=f"{record['validation_loss']:.4f}")
        if not self._console.is_terminal:
            self._console.print(
                f"{self._name}: step {record['step']}/{self._steps}, loss {record['loss']:.4f}, "
                f"validation {record['validation_loss']:.4f}, {record['seconds']:.0f} s"
            )

    def close(self) -> None:
        """Lets the terminal go on below."""
        self._bar.stop()
