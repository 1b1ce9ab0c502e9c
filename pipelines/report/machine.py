"""What a run's machine was, as a section."""

from collections.abc import Mapping
from typing import Any

from ikelos.pipelines.report.sections import Column, Table


def machine_table(results: Mapping[str, Any]) -> Table:
    """Of the `"machine"` and the `"peak_memory_bytes"` of a run's results."""
    machine = results["machine"]
    return Table(
        heading="The machine",
        columns=[Column("What"), Column("Value")],
        rows=[
            ["Processor", f"{machine['cpu']}, {machine['cores']} cores"],
            ["float32 matrix product (2048³)", f"{machine['sgemm_gflops']:.0f} GFLOP/s"],
            ["Most memory in use", f"{results['peak_memory_bytes'] / 1e9:.1f} GB"],
            ["TensorFlow", machine["tensorflow"]],
            ["Python", machine["python"]],
        ],
    )
