"""Terminal output of a stage's training."""

from collections.abc import Iterable

from ikelos.pipelines import console
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.training.history import Record, key


class Progress(console.Progress):
    """Progress display of a training, with its newest figures, which also prints a line for each epoch."""

    def __init__(self, name: str, unit: str, metric: Metric, optimizers: Iterable[str], step: int, steps: int):
        """Starts at `step` of `steps`; `metric` is the validation metric."""
        super().__init__(name, "steps", steps)
        self.advance(step)
        self._data_unit, self._metric = unit, metric
        self._losses = [key(optimizer, "loss") for optimizer in optimizers]
        self._figures = {"losses": "", "validation": "", "speed": ""}
        if step:
            console.say(f"{name}: continuing after step {step:,} of {steps:,}")

    def show(self, record: Record) -> None:
        """Shows the numbers of a record of the history."""
        if record["event"] == "profile":
            return
        losses = ", ".join(f"{loss} {record[loss]:.4f}" for loss in self._losses)
        if record["event"] == "step":
            self._figures |= {"losses": losses, "speed": f"{record['units_per_second']:,.0f} {self._data_unit}/s"}
        else:
            self._figures["validation"] = validation = self._validation_of(record)
            console.say(
                f"{self.name}: step {record['step']:,} of {self.total:,}, {losses}, {validation}, "
                f"{console.duration(record['seconds'])} so far"
            )
        self.note = ", ".join(filter(None, self._figures.values()))

    def _validation_of(self, record: Record) -> str:
        """Returns the validation figure as text: a loss with four decimals, another metric in its own format."""
        name, value = self._metric.name, record[f"validation_{self._metric.name}"]
        return f"validation {value:.4f}" if name == "loss" else f"validation {name} {self._metric.text(value)}"
