"""The metric, which headlines, tables, pictures and early stopping share. Imports nothing heavy."""

import dataclasses
from collections.abc import Iterable
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure's name, unit and format, and whether less or more of it is better.

    Attributes:
        name: Key in the figures, such as `nats_per_character`.
        unit: Display text after the number, such as `nats per character`.
        format: Format specification of the number, as for `format`.
        better: `less` or `more`, whichever is better.

    Raises:
        ValueError: If `better` is neither.
    """

    name: str
    unit: str
    format: str = ".3f"
    better: Literal["less", "more"] = "less"

    def __post_init__(self):
        if self.better not in ("less", "more"):
            raise ValueError(f"`better` must be 'less' or 'more'. Received: better={self.better!r}")

    def text(self, value: float) -> str:
        """Returns the formatted number without its unit."""
        return format(round(value) if self.format.endswith("d") else value, self.format)

    def improves(self, value: float, on: float | None) -> bool:
        """Returns whether `value` is better than `on`; every value is better than None."""
        return on is None or (value < on if self.better == "less" else value > on)

    def limit(self, worst: float) -> str:
        """Returns the condition that a value is at least as good as `worst`, such as `at most 1.250`."""
        return f"at {'most' if self.better == 'less' else 'least'} {self.text(worst)}"

    def best(self, values: Iterable[float]) -> float:
        """Returns the best of the values."""
        return min(values) if self.better == "less" else max(values)

    def difference(self, value: float, other: float) -> str:
        """Returns `value - other` formatted with its sign."""
        return f"{'+' if value >= other else '-'}{self.text(abs(value - other))}"
