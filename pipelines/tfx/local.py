"""Runs a compiled pipeline on this machine, node after node in this process."""

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence

from tfx.proto.orchestration import pipeline_pb2

from ikelos.pipelines.console import console
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import compiled, node

_COLOURS = {"done": "green", "cached": "cyan"}


def run(pipeline: pipeline_pb2.Pipeline, first: str | None = None, use_cache: bool = True) -> dict[str, node.Outcome]:
    """Runs all nodes of a pipeline.

    Args:
        pipeline: The compiled pipeline, left unchanged.
        first: Node that is run again, with all nodes that depend on it, even if their inputs have not changed.
        use_cache: Whether nodes whose inputs have not changed are left out.

    Returns:
        What became of each node.

    Raises:
        UserError: If there is no node `first`, or as `node.run`.
    """
    names = list(compiled.nodes(pipeline))
    if first is not None and first not in names:
        raise UserError(f"`--from` must be one of {', '.join(names)}. Received: --from {first}")
    again = set() if first is None else {first, *compiled.after(pipeline, first)}
    run_id = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
    out, outcomes = console(), {}
    for line in picture(compiled.nodes(pipeline)):
        out.print(line, soft_wrap=True, highlight=False)
    for number, name in enumerate(names, 1):
        start = time.monotonic()
        out.print(f"[bold]{name}[/bold] ({number} of {len(names)})", soft_wrap=True, highlight=False)
        outcomes[name] = node.run(pipeline, name, run_id, use_cache and name not in again)
        colour, seconds = _COLOURS[outcomes[name]], time.monotonic() - start
        out.print(f"  [{colour}]{outcomes[name]}[/{colour}] after {seconds:.1f} s", soft_wrap=True, highlight=False)
    return outcomes


def picture(nodes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields the lines of a picture of a pipeline: nodes that may run side by side stand in one line.

    Args:
        nodes: Names of the nodes, each with those that must run before it, which come before it.
    """
    depths: dict[str, int] = {}
    for name, before in nodes.items():
        depths[name] = 1 + max((depths[other] for other in before), default=-1)
    levels = [[name for name, depth in depths.items() if depth == level] for level in sorted(set(depths.values()))]
    texts = ["   ".join(f"[{name}]" for name in level).replace("[", "\\[") for level in levels]
    width = max(len(text.replace("\\", "")) for text in texts)
    for index, text in enumerate(texts):
        if index:
            yield "↓".center(width).rstrip()
        yield " " * ((width - len(text.replace("\\", ""))) // 2) + text
