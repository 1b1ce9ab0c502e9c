"""Runs one node of a compiled pipeline in this process, whichever scheduler asks for it."""

import contextlib
import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import absl.logging
from apache_beam.options.pipeline_options import PipelineOptions
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.tfx import partial, requests, steps
from ikelos.pipelines.tfx.build import REQUESTS_STATE, STATE

Outcome = Literal["done", "cached"]
_RUN_ID = "pipeline-run-id"
_STATES: dict[int, Outcome] = {
    metadata_store_pb2.Execution.COMPLETE: "done",
    metadata_store_pb2.Execution.CACHED: "cached",
}


class _Launcher(launcher.Launcher):
    """Launcher that first removes what a killed process left of the node's outputs, such as temporary files of Beam."""

    def _run_executor(self, execution_info):
        for artifact in itertools.chain.from_iterable(execution_info.output_dict.values()):
            if fileio.exists(artifact.uri):
                fileio.rmtree(artifact.uri)
        return super()._run_executor(execution_info)


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
        UserError: If there is no such node, a node that it depends on is not done in this run, or the node raises one.
    """
    bound = pipeline_pb2.Pipeline()
    bound.CopyFrom(pipeline)
    node = _node(bound, node_id)
    if not use_cache:
        node.execution_options.caching_options.enable_cache = False
    deployment = runner_utils.extract_local_deployment_config(bound)
    executor = runner_utils.extract_executor_spec(deployment, node_id)
    runtime_parameter_utils.substitute_runtime_parameter(bound, {_RUN_ID: run_id, **_states(node, executor)})
    which = deployment.metadata_connection_config.WhichOneof("connection_config")
    connection = getattr(deployment.metadata_connection_config, which)
    with _calm(), locked(Path(connection.sqlite.filename_uri).parent, wait=True):
        with metadata.Metadata(connection) as store:
            # TFX raises no error if a node lacks its inputs, and no node needs outputs of `SkewValidator`.
            missing = [name for name in node.upstream_nodes if _outcome(store, _node(bound, name)) is None]
        if missing:
            raise UserError(
                f"{node_id} must be run after the nodes that it depends on. "
                f"Received: a run in which these are not done: {', '.join(missing)}"
            )
        _Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=bound.pipeline_info,
            pipeline_runtime_spec=bound.runtime_spec,
            executor_spec=executor,
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
        with metadata.Metadata(connection) as store:
            outcome = _outcome(store, node)
    assert outcome is not None
    return outcome


def _node(pipeline: pipeline_pb2.Pipeline, node_id: str) -> Any:
    found = {node.pipeline_node.node_info.id: node.pipeline_node for node in pipeline.nodes}
    if node_id not in found:
        raise UserError(f"NODE must be one of {', '.join(found)}. Received: {node_id}")
    return found[node_id]


def _states(node: Any, executor: Any) -> dict[str, str]:
    """Returns the values of a node's other runtime parameters: the state of the files that it reads."""
    given = node.parameters.parameters
    if STATE in given:
        recipe = partial.loaded(given["recipe"].field_value.string_value)
        flags = [flag.value.string_value for flag in executor.beam_pipeline_args_placeholders]
        return {STATE: steps.state(recipe, PipelineOptions(flags))}
    if REQUESTS_STATE in given:
        skew = json.loads(given["skew"].field_value.string_value)
        return {REQUESTS_STATE: requests.state(skew["requests"])}
    return {}


def _outcome(store: metadata.Metadata, node: Any) -> Outcome | None:
    """Returns what became of a node in the run; None if it is not done."""
    contexts = [
        store.store.get_context_by_type_and_name(context.type.name, context.name.field_value.string_value)
        for context in node.contexts.contexts
    ]
    if None in contexts:
        return None
    executions = execution_lib.get_executions_associated_with_all_contexts(store, contexts)
    return _STATES.get(executions[0].last_known_state) if executions else None


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
