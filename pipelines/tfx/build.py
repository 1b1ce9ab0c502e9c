"""A recipe as a TFX pipeline."""

import dataclasses
import importlib.resources
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components import StatisticsGen, Trainer
from tfx.orchestration import metadata
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2

from ikelos.pipelines import task as tasks
from ikelos.pipelines.continuation import AFTER_EXPORT
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.recipe.sections import Limit, Slices
from ikelos.pipelines.tfx import components, partial, requests, slices, steps

STATE = "state"
"""Runtime parameter: a text that identifies the source's examples; with a new one, they are read again."""
REQUESTS_STATE = "requests_state"
"""Runtime parameter: a text that identifies the logged requests; with a new one, they are compared again."""
_SCHEMAS = importlib.resources.files("ikelos") / "tfx_configs" / "schemas"
_RUN_FN = f"{components.__name__}.{components.run_fn.__name__}"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a pipeline works.

    Attributes:
        root: Folder or object store for all artifacts.
        destination: Base path from which TensorFlow Serving loads models.
        metadata: SQLite file of ML Metadata; None where the scheduler has its own.
    """

    root: str
    destination: str
    metadata: Path | None


def schema(recipe: Recipe) -> str:
    """Returns the text of the schema that the recipe's examples are checked against.

    Raises:
        UserError: If there is none, it is invalid, or it lacks a feature of `pipeline.drift`, `pipeline.slices` or
            `pipeline.skew`.
    """
    settings = recipe.config.pipeline
    given = None if settings is None else settings.examples_schema
    path = _SCHEMAS / f"{recipe.task}.pbtxt" if given is None else Path(given).expanduser()
    if not path.is_file():
        raise UserError(
            f"`pipeline.examples_schema` must be a file; `ikelos schema infer` proposes one. Received: {path}"
        )
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        features = {feature.name for feature in text_format.Parse(text, schema_pb2.Schema()).feature}
    except text_format.ParseError as error:
        raise UserError(f"{path} must be a schema in protobuf's text format. Received: {error}") from None
    named: dict[str, Sequence[Limit | Slices]] = {}
    if settings is not None:
        skew = () if settings.skew is None else settings.skew.limits
        named = {"drift": settings.drift, "slices": settings.slices, "skew.limits": skew}
    for key, sections in named.items():
        for one in sections:
            if one.feature not in features:
                raise UserError(
                    f"`pipeline.{key}` must name features of {path}: {', '.join(sorted(features))}. "
                    f"Received: {one.feature}"
                )
    return text


def pipeline(recipe: Recipe, place: Place) -> Pipeline:
    """Returns the pipeline of a recipe.

    Raises:
        UserError: If the recipe does not export a model, begins with another run, has no schema, or has slices although
            the task's metric is no mean over examples.
    """
    if not recipe.config.export.enabled:
        raise UserError("`export.enabled` must be true in a pipeline. Received: export.enabled=false")
    if recipe.start is not None:
        raise UserError(f"`from` must be null in a pipeline. Received: from={recipe.start}")
    # A folder that no cache key knows of.
    if (other := getattr(recipe.config.evaluation, "other_run", None)) is not None:
        raise UserError(f"`evaluation.other_run` must be null in a pipeline. Received: evaluation.other_run={other}")
    settings, fields = recipe.config.pipeline, type(recipe.config).model_fields
    if settings is None:
        raise UserError("`pipeline` must be a section of the recipe, as in those of `ikelos list`. Received: null")
    slices.check(tasks.of_recipe(recipe), settings.slices)
    data = partial.text(recipe, "data")
    _check_reachable(recipe)
    others = [name for name in fields if name not in AFTER_EXPORT]
    training = partial.text(recipe, *others)
    state = RuntimeParameter(name=STATE, ptype=str, default="")
    examples = components.ExampleGen(recipe=data, state=state)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    rules = components.SchemaImporter(text=schema(recipe))
    validator = components.ExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=rules.outputs["schema"],
        drift=json.dumps([limit.model_dump() for limit in settings.drift]),
        destination=place.destination,
    )
    prepared = components.Preparation(
        examples=examples.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        recipe=data,
        destination=place.destination if settings.warm_start else "",
    )
    trainer = Trainer(
        run_fn=_RUN_FN,
        examples=examples.outputs["examples"],
        transform_graph=prepared.outputs["prepared"],
        train_args=trainer_pb2.TrainArgs(splits=[SPLITS[0]]),
        eval_args=trainer_pb2.EvalArgs(splits=[SPLITS[1]]),
        custom_config={"recipe": training},
    )
    evaluator = components.Evaluator(
        examples=examples.outputs["examples"],
        prepared=prepared.outputs["prepared"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        recipe=partial.text(recipe, *others, "pipeline.blessing", "pipeline.slices"),
        destination=place.destination,
    )
    infra = components.InfraValidator(model=trainer.outputs["model"])
    pusher = components.Pusher(
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra.outputs["blessing"],
        destination=place.destination,
    )
    nodes = [examples, statistics, rules, validator, prepared, trainer, evaluator, infra, pusher]
    if settings.skew is not None:
        skew = components.SkewValidator(
            statistics=statistics.outputs["statistics"],
            schema=rules.outputs["schema"],
            skew=settings.skew.model_dump_json(),
            requests_state=RuntimeParameter(name=REQUESTS_STATE, ptype=str, default=""),
        )
        # Not by an input: with other requests the Pusher would run again, and push a model that was replaced since.
        pusher.add_upstream_node(skew)
        nodes.append(skew)
    connection = None
    if place.metadata is not None:
        place.metadata.parent.mkdir(parents=True, exist_ok=True)
        connection = metadata.sqlite_metadata_connection_config(str(place.metadata))
    return Pipeline(
        pipeline_name=name(recipe),
        pipeline_root=place.root,
        components=nodes,
        enable_cache=True,
        metadata_connection_config=connection,
        beam_pipeline_args=list(settings.beam),
    )


def _check_reachable(recipe: Recipe) -> None:
    """Raises UserError if workers of a Beam runner, which have other working folders, would look elsewhere for data."""
    settings, source = recipe.config.pipeline, getattr(getattr(recipe.config, "data", None), "source", None)
    runners = [flag for flag in settings.beam if flag.startswith("--runner=")] if settings is not None else []
    if source is None or not runners:
        return
    named = {**source.patterns, "data_dir": (source.data_dir,) if source.data_dir else ()}
    for key, paths in named.items():
        for path in paths:
            if not ("://" in path or os.path.isabs(os.path.expanduser(path))):
                raise UserError(
                    f"`data.source.{key}` must be absolute with a runner in `pipeline.beam`, whose workers have other "
                    f"working folders. Received: {path}, with {runners[-1]}"
                )


def states(recipe: Recipe) -> dict[str, str]:
    """Returns the values of the pipeline's runtime parameters: the states of the source and of the logged requests."""
    settings = recipe.config.pipeline
    assert settings is not None
    found = {STATE: steps.state(recipe, PipelineOptions(list(settings.beam)))}
    if settings.skew is not None:
        found[REQUESTS_STATE] = requests.state(settings.skew.requests)
    return found


def name(recipe: Recipe) -> str:
    """Returns the recipe's name as Kubeflow allows it."""
    return re.sub(r"[^a-z0-9]+", "-", recipe.name.lower()).strip("-")[:128] or "pipeline"
