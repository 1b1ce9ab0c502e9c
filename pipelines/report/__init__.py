"""The report of a run: `report.json` for programs, `report.html` for people."""

from ikelos.pipelines.report.page import write

__all__ = ["write"]
