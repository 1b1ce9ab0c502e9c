"""What is measured of a model: behind headlines, tables, pictures and early stopping alike. Imports nothing heavy."""

import dataclasses
from collections.abc import Iterable
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure with a name.

    Attributes:
        name: Its key among figures: `nats_per_character`.
        unit: What follows the number, for people: `nats per character`.
        format: How the number is written, as in `format(value, "...")`.
        better: Whether `less` or `more` of it is better.

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
        """The number as people read it, without its unit."""
        return format(round(value) if self.format.endswith("d") else value, self.format)

    def improves(self, value: float, on: float | None) -> bool:
        """Whether `value` is better than `on`; everything is better than None."""
        return on is None or (value < on if self.better == "less" else value > on)

    def best(self, values: Iterable[float]) -> float:
        """The best of some values."""
        return min(values) if self.better == "less" else max(values)

    def difference(self, value: float, other: float) -> str:
        """How far one value is from another, with its sign."""
        return f"{'+' if value >= other else '-'}{self.text(abs(value - other))}"
