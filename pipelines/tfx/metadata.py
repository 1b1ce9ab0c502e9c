"""The runs of a pipeline and the lineage of its models, read from the SQLite file of ML Metadata."""

import dataclasses
import datetime
import json
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from ikelos.pipelines import lineage as lineages
from ikelos.pipelines.data import records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import push, storage
from ikelos.serving import card

_Execution, _Event = metadata_store_pb2.Execution, metadata_store_pb2.Event
_STATES = {
    _Execution.NEW: "running",
    _Execution.RUNNING: "running",
    _Execution.COMPLETE: "done",
    _Execution.CACHED: "cached",
    _Execution.FAILED: "failed",
    _Execution.CANCELED: "failed",
}
_PUSHER = "Pusher"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
        id: Its name.
        begin: When its first node began.
        nodes: State of each node, in the order in which they began: `done`, `cached` if the outputs of an earlier run
            were taken, `failed` or `running`. A node that was killed is `running` until it is run again.
        result: The model's figures in one line; None if no model was evaluated.
        against: Reasons why the model must not be served; empty if it is blessed, None if no model was evaluated.
        version: Place of the version that was pushed; None if there is none.
        pushed_here: Whether this run pushed the version, and not an earlier run from which it was taken.
    """

    id: str
    begin: datetime.datetime
    nodes: dict[str, str]
    result: str | None
    against: tuple[str, ...] | None
    version: str | None
    pushed_here: bool


def runs(path: Path) -> list[Run]:
    """Returns all runs in a file of ML Metadata, the newest last."""
    store = _opened(path)
    names = {
        execution.id: context.name.rpartition(".")[2]
        for context in store.get_contexts_by_type("node")
        for execution in store.get_executions_by_context(context.id)
    }
    contexts = sorted(
        store.get_contexts_by_type("pipeline_run"), key=lambda context: (context.create_time_since_epoch, context.id)
    )
    return [_run(store, context, names) for context in contexts]


def lineage(path: Path, version: int | None) -> dict[str, str]:
    """Returns the lineage of a version that a pipeline pushed: the code, the data and the runs that it comes from.

    Args:
        path: The file of ML Metadata.
        version: The number of the version; None for the newest one in the base path of the last push.

    Returns:
        Names and values to print.

    Raises:
        UserError: If the pipeline has pushed no version, or not this one.
    """
    store = _opened(path)
    pushed = {
        text: artifact
        for artifact in sorted(store.get_artifacts_by_type("PushedModel"), key=lambda artifact: artifact.id)
        if (text := _text(artifact, "pushed_destination"))
    }
    if not pushed:
        raise UserError(
            f"FOLDER must be that of a pipeline that has pushed a version. Received: {path.parent.parent}, without one"
        )
    base = posixpath.dirname(list(pushed)[-1])
    chosen = push.newest_version(base) if version is None else version
    place = f"{base}/{chosen}"
    if place not in pushed:
        raise UserError(
            f"`--version` must be one that the pipeline pushed: {', '.join(map(posixpath.basename, pushed))}. "
            f"Received: {'no version' if chosen is None else chosen} in {base}"
        )
    executions = _upstream(store, pushed[place].id)
    outputs = _outputs(store, executions.values())
    examples, run = outputs["Examples"], outputs["ModelRun"]
    origin = json.loads(storage.read(f"{place}/{card.FILE}"))["provenance"]
    return {
        "Version": place,
        "Pushed by the run": _run_id(store, executions[pushed[place].id]),
        "Trained by the run": _run_id(store, executions[run.id]),
        "Result": _text(outputs["ModelEvaluation"], "result"),
        **lineages.of_provenance(origin),
        "Model run": run.uri,
        **({"Began with": start} if (start := _text(outputs["TransformGraph"], "began_with")) else {}),
        "Examples": examples.uri,
        "State of the source": _text(examples, "state"),
        **lineages.of_examples(json.loads(storage.read(f"{examples.uri}/{records.ABOUT}"))),
        "Schema": f"{outputs['Schema'].uri}/schema.pbtxt",
    }


def _opened(path: Path) -> metadata_store.MetadataStore:
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(config)


def _run(store: metadata_store.MetadataStore, context: Any, names: dict[int, str]) -> Run:
    executions = sorted(store.get_executions_by_context(context.id), key=lambda execution: execution.id)
    outputs = _outputs(store, [execution.id for execution in executions])
    nodes = {names[execution.id]: _STATES[execution.last_known_state] for execution in executions}
    result = against = version = None
    if "ModelEvaluation" in outputs:
        result = _text(outputs["ModelEvaluation"], "result")
        against = tuple(_text(outputs["ModelBlessing"], "against").splitlines())
    if "PushedModel" in outputs:
        version = _text(outputs["PushedModel"], "pushed_destination") or None
    begin = datetime.datetime.fromtimestamp(context.create_time_since_epoch / 1000, datetime.UTC)
    return Run(context.name, begin, nodes, result, against, version, nodes.get(_PUSHER) == "done")


def _outputs(store: metadata_store.MetadataStore, executions: Iterable[int]) -> dict[str, Any]:
    """Returns the finished outputs of executions by their type; of several of a type, the one with the highest id."""
    events = store.get_events_by_execution_ids(list(executions))
    ids = sorted({event.artifact_id for event in events if event.type == _Event.OUTPUT})
    return {artifact.type: artifact for artifact in store.get_artifacts_by_id(ids)}


def _upstream(store: metadata_store.MetadataStore, artifact: int) -> dict[int, int]:
    """Returns, for an artifact and all that it comes from, the execution that made it."""
    made: dict[int, int] = {}
    ids = {artifact}
    while ids:
        for event in sorted(store.get_events_by_artifact_ids(sorted(ids)), key=lambda event: event.execution_id):
            # Later executions took the artifact from the cache.
            if event.type == _Event.OUTPUT:
                made.setdefault(event.artifact_id, event.execution_id)
        events = store.get_events_by_execution_ids(sorted({made[one] for one in ids}))
        ids = {event.artifact_id for event in events if event.type == _Event.INPUT} - made.keys()
    return made


def _run_id(store: metadata_store.MetadataStore, execution: int) -> str:
    return next(one.name for one in store.get_contexts_by_execution(execution) if one.type == "pipeline_run")


def _text(artifact: Any, name: str) -> str:
    return artifact.custom_properties[name].string_value if name in artifact.custom_properties else ""
