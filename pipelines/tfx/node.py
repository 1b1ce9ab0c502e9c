"""Runs one node of a compiled pipeline in this process, whichever scheduler asks for it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import absl.logging
from apache_beam.options.pipeline_options import PipelineOptions
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.tfx import partial, steps
from ikelos.pipelines.tfx.build import STATE

Outcome = Literal["done", "cached"]
_RUN_ID = "pipeline-run-id"
_STATES = {metadata_store_pb2.Execution.COMPLETE: "done", metadata_store_pb2.Execution.CACHED: "cached"}


def run(pipeline: pipeline_pb2.Pipeline, node_id: str, run_id: str, use_cache: bool = True) -> Outcome:
    """Runs a node, unless it was done in this run before, or outputs of an earlier run are still valid.

    A node that was killed may be run again with the same `run_id`: its outputs are written once. Nodes that share a
    file of metadata run one after the other, as SQLite allows one writer.

    Args:
        pipeline: The compiled pipeline, left unchanged.
        node_id: Id of the node.
        run_id: Id of the run, the same for all of its nodes.
        use_cache: Whether the outputs of earlier runs may be taken.

    Returns:
        `done`, or `cached` if earlier outputs are taken.

    Raises:
        UserError: If there is no such node, an earlier one has no outputs in this run, or the node raises one.
    """
    bound = pipeline_pb2.Pipeline()
    bound.CopyFrom(pipeline)
    node = _node(bound, node_id)
    if not use_cache:
        node.execution_options.caching_options.enable_cache = False
    deployment = runner_utils.extract_local_deployment_config(bound)
    executor = runner_utils.extract_executor_spec(deployment, node_id)
    values = {_RUN_ID: run_id}
    if STATE in node.parameters.parameters:
        values[STATE] = _state(node, executor)
    runtime_parameter_utils.substitute_runtime_parameter(bound, values)
    which = deployment.metadata_connection_config.WhichOneof("connection_config")
    connection = getattr(deployment.metadata_connection_config, which)
    with _calm(), locked(Path(connection.sqlite.filename_uri).parent, wait=True):
        launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=bound.pipeline_info,
            pipeline_runtime_spec=bound.runtime_spec,
            executor_spec=executor,
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
        with metadata.Metadata(connection) as store:
            return _outcome(store, node)


def _node(pipeline: pipeline_pb2.Pipeline, node_id: str) -> Any:
    found = {node.pipeline_node.node_info.id: node.pipeline_node for node in pipeline.nodes}
    if node_id not in found:
        raise UserError(f"NODE must be one of {', '.join(found)}. Received: {node_id}")
    return found[node_id]


def _state(node: Any, executor: Any) -> str:
    """Returns the state of the source of the node's recipe."""
    recipe = partial.loaded(node.parameters.parameters["recipe"].field_value.string_value)
    flags = [flag.value.string_value for flag in executor.beam_pipeline_args_placeholders]
    return steps.state(recipe, PipelineOptions(flags))


def _outcome(store: metadata.Metadata, node: Any) -> Outcome:
    """Returns what became of a node. TFX raises no error if a node lacks its inputs."""
    contexts = context_lib.prepare_contexts(store, node.contexts)
    executions = execution_lib.get_executions_associated_with_all_contexts(store, contexts)
    states = [execution.last_known_state for execution in executions]
    if len(states) != 1 or states[0] not in _STATES:
        raise UserError(
            f"{node.node_info.id} must be run after the nodes that it depends on. Received: a run without their outputs"
        )
    return _STATES[states[0]]  # type: ignore[return-value]


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Context manager within which TFX logs its errors only."""
    before = absl.logging.get_verbosity(), logging.getLogger().level
    absl.logging.set_verbosity(absl.logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before[0])
        logging.getLogger().setLevel(before[1])
