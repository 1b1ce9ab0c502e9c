"""A pipeline as a file, TFX's intermediate representation in JSON, from which any scheduler runs single nodes."""

import hashlib
from pathlib import Path

from google.protobuf import json_format
from tfx.orchestration import pipeline as pipelines
from tfx.orchestration.portable import tfx_runner
from tfx.proto.orchestration import pipeline_pb2

from ikelos.pipelines.errors import UserError
from ikelos.serving import files


class _Catcher(tfx_runner.IrBasedRunner):
    """Runner that runs nothing and keeps what it was given to run."""

    caught: pipeline_pb2.Pipeline

    def run_with_ir(self, pipeline, run_options=None):
        self.caught = pipeline


def compile_pipeline(pipeline: pipelines.Pipeline) -> pipeline_pb2.Pipeline:
    """Returns a pipeline's intermediate representation."""
    catcher = _Catcher()
    catcher.run(pipeline)
    return catcher.caught


def write(folder: Path, compiled: pipeline_pb2.Pipeline) -> Path:
    """Writes a compiled pipeline into a file of a folder, and returns the file, named by a hash of its content."""
    text = json_format.MessageToJson(compiled, sort_keys=True)
    path = folder / f"pipeline-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    files.write(path, text)
    return path


def read(path: Path) -> pipeline_pb2.Pipeline:
    """Reads a compiled pipeline.

    Raises:
        UserError: If the file holds none.
    """
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), pipeline_pb2.Pipeline())
    except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
        raise UserError(f"PIPELINE must be a file that `ikelos pipeline` wrote. Received: {path} ({error})") from error


def nodes(compiled: pipeline_pb2.Pipeline) -> dict[str, list[str]]:
    """Returns the ids of all nodes, in an order in which they may run, each with those that must run before it."""
    found = [node.pipeline_node for node in compiled.nodes]
    return {node.node_info.id: list(node.upstream_nodes) for node in found}


def after(compiled: pipeline_pb2.Pipeline, node: str) -> set[str]:
    """Returns the ids of all nodes that depend on a node, directly or not."""
    found = {node}
    for name, before in nodes(compiled).items():
        if found & set(before):
            found.add(name)
    return found - {node}
