"""The nodes of a pipeline as TFX components, which call the functions of `steps` on their artifacts."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apache_beam
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.component.experimental.annotations import BeamComponentParameter, Parameter
from tfx.dsl.component.experimental.annotations import InputArtifact as Input
from tfx.dsl.component.experimental.annotations import OutputArtifact as Output
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import filesystem, filesystem_registry
from tfx.types import standard_artifacts

from ikelos import serving
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import beam, partial, push, requests, steps, storage
from ikelos.pipelines.tfx.statistics import (
    STATISTICS_FILE,
    anomaly_lines,
    check_applied,
    read_statistics,
    skew_anomalies,
    split_statistics,
)

SPLIT_NAMES = json.dumps(SPLITS)
_STAGING = "staging"
"""Folder in an unfinished artifact through which the workers of Apache Beam exchange files."""
_BLESSED, _COMPARED, _BASELINE = "blessed", "compared", "baseline_run"
"""Properties of a blessing."""
_KINDS = {schema_pb2.BYTES: bytes, schema_pb2.INT: int}
"""The Python types of the features' values."""


class _S3(filesystem.Filesystem):
    """S3 for the nodes of TFX itself: they only ask whether a path exists, which TensorFlow does not know for S3."""

    SUPPORTED_SCHEMES = ["s3://"]
    exists = staticmethod(storage.exists)


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(_S3, priority=0)


@component(use_beam=True)
def ExampleGen(  # noqa: N802
    recipe: Parameter[str],
    state: Parameter[str],
    examples: Output[standard_artifacts.Examples],
    pipeline: BeamComponentParameter[apache_beam.Pipeline] = None,
) -> None:
    """Reads the examples of the recipe's source. `state` identifies them: with a new one, they are read again."""
    with storage.completed(examples.uri):
        staging = f"{examples.uri}/{_STAGING}"
        steps.read(partial.loaded(recipe), examples.uri, beam.each(pipeline, staging), pipeline.options)
        storage.remove(staging)
    examples.split_names = SPLIT_NAMES
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("state", state)


@component
def SchemaImporter(text: Parameter[str], schema: Output[standard_artifacts.Schema]) -> None:  # noqa: N802
    """Writes the curated schema, a text in protobuf's format."""
    storage.write(f"{schema.uri}/schema.pbtxt", text.encode())


@component
def ExampleValidator(  # noqa: N802
    statistics: Input[standard_artifacts.ExampleStatistics],
    schema: Input[standard_artifacts.Schema],
    drift: Parameter[str],
    destination: Parameter[str],
    anomalies: Output[standard_artifacts.ExampleAnomalies],
) -> None:
    """Compares the statistics of all splits with the schema, and those of training with the served model's.

    `drift` has the section of the recipe in JSON.

    Raises:
        UserError: If there are anomalies; the message lists them with their features.
    """
    rules, limits = _rules(schema), json.loads(drift)
    for limit in limits:
        feature = tfdv.get_feature(rules, limit["feature"])
        feature.drift_comparator.jensen_shannon_divergence.threshold = limit["distance"]
    served, earlier = push.served(destination) if limits else None, None
    if served is not None:
        storage.check_complete(served)
        earlier = read_statistics(f"{served}/{STATISTICS_FILE}")
    lines = []
    for split in SPLITS:
        found = split_statistics(statistics, split)
        before = earlier if split == "train" else None
        result = tfdv.validate_statistics(found, rules, previous_statistics=before)
        _write_anomalies(anomalies, split, result)
        lines += anomaly_lines(split, result)
        if before is not None and not lines:
            measured = {info.path.step[0] for info in result.drift_skew_info if info.drift_measurements}
            check_applied("pipeline.drift", limits, found, measured)
    anomalies.split_names = SPLIT_NAMES
    if lines:
        raise UserError("\n".join(["The examples must agree with the schema. Received:", *lines]))


@component
def SkewValidator(  # noqa: N802
    statistics: Input[standard_artifacts.ExampleStatistics],
    schema: Input[standard_artifacts.Schema],
    skew: Parameter[str],
    requests_state: Parameter[str],
    anomalies: Output[standard_artifacts.ExampleAnomalies],
) -> None:
    """Compares logged requests with the training examples.

    `skew` has the section of the recipe in JSON. `requests_state` identifies the logged requests: with a new one, they
    are compared again.

    Raises:
        UserError: If features differ too much, which the message lists, or as `requests.write`.
    """
    rules, settings = _rules(schema), json.loads(skew)
    kinds = {feature.name: _KINDS[feature.type] for feature in rules.feature if feature.type in _KINDS}
    limits = settings["limits"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests"
        rows = requests.write(settings["requests"], kinds, [limit["feature"] for limit in limits], path)
        logged = tfdv.generate_statistics_from_tfrecord(str(path)) if rows else None
    result = anomalies_pb2.Anomalies()
    if logged is None:
        print(f"Not compared: no requests are logged in {', '.join(settings['requests'])}.", flush=True)
    else:
        result = skew_anomalies(split_statistics(statistics, "train"), logged, limits)
        print(f"Compared: {rows:,} rows of logged requests with the training examples.", flush=True)
    _write_anomalies(anomalies, "train", result)
    anomalies.split_names = json.dumps(["train"])
    if lines := anomaly_lines("requests", result):
        raise UserError("\n".join(["The logged requests must resemble the training examples. Received:", *lines]))


@component(use_beam=True)
def Preparation(  # noqa: N802
    examples: Input[standard_artifacts.Examples],
    statistics: Input[standard_artifacts.ExampleStatistics],
    anomalies: Input[standard_artifacts.ExampleAnomalies],
    recipe: Parameter[str],
    destination: Parameter[str],
    prepared: Output[standard_artifacts.TransformGraph],
    pipeline: BeamComponentParameter[apache_beam.Pipeline] = None,
) -> None:
    """Prepares the examples, once they are validated: the fitted preprocessing, and stores that are read by index.

    With a warm start, `destination` is the base path of the served models, and the newest one is recorded as the one to
    begin with; else it is empty. The model is no input, as a pushed model alone must not lead to another training.

    Raises:
        UserError: As `steps.prepare`.
    """
    storage.check_complete(examples.uri)
    served = push.served(destination) if destination else None
    if destination and served is None:
        why = "a newest version that is not from a pipeline" if push.newest_version(destination) else "no version yet"
        print(f"The training begins from scratch: {destination} has {why}.", flush=True)
    with contextlib.ExitStack() as stack:
        start = None if served is None else steps.Served(served, stack.enter_context(_fetched_start(served)))
        folder = stack.enter_context(storage.published(prepared.uri))
        staging = f"{prepared.uri}/{_STAGING}"
        steps.prepare(partial.loaded(recipe), examples.uri, folder, staging, beam.each(pipeline, staging), start)
        (folder / STATISTICS_FILE).write_bytes(split_statistics(statistics, "train").SerializeToString())
    prepared.set_string_custom_property("began_with", served or "")


def run_fn(arguments: FnArgs) -> None:
    """Trains the model; called by the stock Trainer. Raises as `steps.train`."""
    model, name = os.path.split(arguments.serving_model_dir)
    recipe = partial.loaded(arguments.custom_config["recipe"])
    with contextlib.ExitStack() as stack:
        prepared = stack.enter_context(storage.fetched(arguments.transform_graph_path))
        served = steps.began_with(prepared)
        start = None if served is None else stack.enter_context(_fetched_start(served))
        model_folder = stack.enter_context(storage.published(model))
        run_folder = stack.enter_context(storage.published(arguments.model_run_dir))
        steps.train(recipe, prepared, run_folder, model_folder / name, start)
        steps.copy_file(prepared / STATISTICS_FILE, run_folder / STATISTICS_FILE)


@component
def Evaluator(  # noqa: N802
    examples: Input[standard_artifacts.Examples],
    prepared: Input[standard_artifacts.TransformGraph],
    model: Input[standard_artifacts.Model],
    model_run: Input[standard_artifacts.ModelRun],
    recipe: Parameter[str],
    destination: Parameter[str],
    evaluation: Output[standard_artifacts.ModelEvaluation],
    blessing: Output[standard_artifacts.ModelBlessing],
) -> None:
    """Measures the task's metrics and baselines, and blesses the model if it meets the recipe's conditions.

    The model to beat is the newest one in `destination`. It is no input, as the verdict on a model must not change, and
    the model must not be evaluated again, once it is served itself.

    Raises:
        UserError: As `steps.evaluate`.
    """
    settings = partial.loaded(recipe)
    storage.check_complete(examples.uri)
    served = push.served(destination)
    if served is None and push.newest_version(destination):
        print(f"Not compared: the newest version in {destination} does not come from a pipeline.", flush=True)
    with contextlib.ExitStack() as stack:
        data, run = (stack.enter_context(storage.fetched(one.uri)) for one in (prepared, model_run))
        last = None if served is None else stack.enter_context(storage.fetched(served))
        folder = stack.enter_context(storage.published(evaluation.uri))
        verdict = steps.evaluate(settings, examples.uri, data, run, last, folder)
    print(verdict.headline, *verdict.slices, sep="\n", flush=True)
    for reason in verdict.against:
        print(f"Not blessed: {reason}", flush=True)
    evaluation.set_string_custom_property("result", verdict.headline)
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_string_custom_property("current_model", model.uri)
    assert settings.config.pipeline is not None
    blessing.set_int_custom_property(_COMPARED, int(settings.config.pipeline.blessing.better_than_last))
    blessing.set_string_custom_property(_BASELINE, served or "")
    blessing.set_string_custom_property("against", "\n".join(verdict.against))
    _bless(blessing, not verdict.against)


@component
def InfraValidator(model: Input[standard_artifacts.Model], blessing: Output[standard_artifacts.InfraBlessing]) -> None:  # noqa: N802
    """Runs every signature on its examples, which come from the data, as a stock TensorFlow Serving would.

    Raises:
        CheckFailed: If the model does not load or gives other outputs.
    """
    with storage.fetched(model.uri) as folder:
        serving.stock_check(folder / "Format-Serving")
    _bless(blessing, True)


@component
def Pusher(  # noqa: N802
    model: Input[standard_artifacts.Model],
    model_run: Input[standard_artifacts.ModelRun],
    blessing: Input[standard_artifacts.ModelBlessing],
    infra_blessing: Input[standard_artifacts.InfraBlessing],
    destination: Parameter[str],
    pushed: Output[standard_artifacts.PushedModel],
) -> None:
    """Publishes a blessed model as the next version of a TensorFlow Serving base path.

    Raises:
        UserError: If another model is served since the model was compared.
    """
    is_blessed = all(one.get_int_custom_property(_BLESSED) == 1 for one in (blessing, infra_blessing))
    pushed.set_int_custom_property("pushed", int(is_blessed))
    if not is_blessed:
        print("Not pushed: the model is not blessed.", flush=True)
        return
    served = push.served(destination)
    compared = blessing.get_int_custom_property(_COMPARED) == 1
    if compared and served not in (blessing.get_string_custom_property(_BASELINE) or None, model_run.uri):
        raise UserError(f"{served} is served now, with which the model was not compared. Run again from Evaluator on.")
    with storage.fetched(model.uri) as folder:
        version = push.push(folder / "Format-Serving", destination, model_run.uri)
    print(f"Pushed: {version}", flush=True)
    pushed.set_string_custom_property("pushed_destination", version)
    pushed.set_string_custom_property("pushed_version", os.path.basename(version))


@contextlib.contextmanager
def _fetched_start(served: str) -> Iterator[Path]:
    """Context manager of a local folder with the run that the training begins with."""
    with contextlib.ExitStack() as stack:
        with steps.naming_warm_start(served):
            folder = stack.enter_context(storage.fetched(served))
        yield folder


def _rules(schema) -> schema_pb2.Schema:
    return text_format.Parse(storage.read(f"{schema.uri}/schema.pbtxt").decode(), schema_pb2.Schema())


def _write_anomalies(anomalies, split: str, result: anomalies_pb2.Anomalies) -> None:
    storage.write(f"{anomalies.uri}/Split-{split}/SchemaDiff.pb", result.SerializeToString())


def _bless(blessing, is_blessed: bool) -> None:
    """Marks a blessing as the stock components do: by a property, and a file of a telling name."""
    blessing.set_int_custom_property(_BLESSED, int(is_blessed))
    prefix = "INFRA_" if isinstance(blessing, standard_artifacts.InfraBlessing) else ""
    name = f"{prefix}BLESSED" if is_blessed else f"{prefix}NOT_BLESSED"
    storage.write(f"{blessing.uri}/{name}", b"")
