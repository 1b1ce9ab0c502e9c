"""Runs a compiled pipeline on this machine, node after node in this process."""

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence

from tfx.orchestration.portable import partial_run_utils
from tfx.proto.orchestration import pipeline_pb2

from ikelos.pipelines.console import console
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import compiled, node

_COLOURS = {"done": "green", "cached": "cyan", "skipped": "dim"}


def run(pipeline: pipeline_pb2.Pipeline, first: str | None = None, use_cache: bool = True) -> dict[str, node.Outcome]:
    """Runs all nodes of a pipeline.

    Args:
        pipeline: The compiled pipeline, left unchanged.
        first: Node to begin with; the outputs of those before it are taken from the last run. None runs all.
        use_cache: Whether nodes whose inputs have not changed are left out.

    Returns:
        What became of each node.

    Raises:
        UserError: If there is no node `first`, or by what a node does.
    """
    chosen = pipeline_pb2.Pipeline()
    chosen.CopyFrom(pipeline)
    names = compiled.nodes(chosen)
    if first is not None:
        if first not in names:
            raise UserError(f"`--from` must be one of {', '.join(names)}. Received: --from {first}")
        partial_run_utils.mark_pipeline(chosen, from_nodes=[first])
    run_id = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
    out, outcomes = console(), {}
    for line in picture(names):
        out.print(line, soft_wrap=True, highlight=False)
    for number, name in enumerate(names, 1):
        start = time.monotonic()
        out.print(f"[bold]{name}[/bold] ({number} of {len(names)})", soft_wrap=True, highlight=False)
        outcomes[name] = node.run(chosen, name, run_id, use_cache and first is None)
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
