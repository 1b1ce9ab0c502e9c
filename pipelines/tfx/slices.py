"""The metric by slices of the test examples, computed by TensorFlow Model Analysis, which is imported only for that.

A slice is all examples that share a value of a feature, such as the images of one class. The results are also written
in the format of TensorFlow Model Analysis, for its views in a notebook.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ikelos.pipelines.data.records import QUANTITIES, Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Slices
from ikelos.pipelines.task import ByExample, Task

MOST = 1000
"""Most slices of a feature."""
_LONGEST = 1000
"""Most bytes of a value that names a slice. The paths of files are shorter, and most contents are longer."""
_NAMED = 5
"""Slices that are named if they are worse than allowed; the others are counted."""
_VALUE, _WEIGHT, _EXAMPLES = "metric_by_example", "weight_by_example", "examples"
"""Columns for TensorFlow Model Analysis, and the name of its metric for the number of examples."""

Figures = dict[str, dict[str, dict[str, float]]]
"""For each feature, for each slice from the worst to the best, the metric and the number of `examples`."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The metric by slices.

    Attributes:
        figures: The measured values.
        against: Reasons why the model must not be served; empty if no slice is worse than allowed.
        lines: The worst slice of each feature in words.
    """

    figures: Figures
    against: tuple[str, ...]
    lines: tuple[str, ...]


def check(task: Task[Any, Any], slices: Sequence[Slices]) -> None:
    """Checks that the first metric of a task can be measured by slices.

    Raises:
        UserError: If not.
    """
    if slices and not task.is_mean:
        raise UserError(
            f"`pipeline.slices` must be [] for this task: `{task.metrics[0].name}` is a figure of a whole set, not a "
            f"mean over examples. Received: {', '.join(one.feature for one in slices)}"
        )


def of_examples(records: Records, ids: Sequence[str], features: Sequence[str]) -> dict[str, list[str]]:
    """Returns the name of the slice to which each test example belongs, for each feature.

    Names and categories name their slice themselves. Quantities are divided at the powers of two.

    Args:
        records: The examples as they were read, of which the faulty and empty ones are not in the store.
        ids: Ids of the examples in the test store.
        features: Names of the features.

    Raises:
        UserError: If two examples have one id, an example lacks a feature, a value is too long for a name or is no
            text, or a feature has more than `MOST` slices.
    """
    wanted, found = set(ids), dict[str, dict[str, str]]()
    for values in records.features("test"):
        name = str(values["id"])
        if name not in wanted:
            continue
        if name in found:
            raise UserError(f"`pipeline.slices` must divide examples with different ids. Received: two with {name}")
        found[name] = {feature: _slice(values, feature) for feature in features}
    table = {feature: [found[name][feature] for name in ids] for feature in features}
    for feature, names in table.items():
        if (number := len(set(names))) > MOST:
            raise UserError(
                f"`pipeline.slices` must name features of at most {MOST:,} slices. Received: {feature}, of {number:,}"
            )
    return table


def _slice(values: Mapping[str, bytes | int | str], feature: str) -> str:
    """Returns the name of an example's slice."""
    if feature not in values:
        raise UserError(
            f"`pipeline.slices` must name features that every test example has. Received: {feature}, but "
            f"{values['id']!s} has only {', '.join(sorted(values))}"
        )
    value = values[feature]
    if isinstance(value, int):
        return powers(value) if feature in QUANTITIES else str(value)
    try:
        text = value.decode() if isinstance(value, bytes) else value
        size = len(text.encode())
    except UnicodeError:
        raise _no_name(feature, values, "a value that is no text") from None
    if size > _LONGEST:
        raise _no_name(feature, values, f"a text of {size:,} bytes")
    return text


def _no_name(feature: str, values: Mapping[str, Any], what: str) -> UserError:
    return UserError(
        f"`pipeline.slices` must name features whose values are numbers or names of at most {_LONGEST:,} bytes. "
        f"Received: {feature}, which is {what} in {values['id']}"
    )


def powers(quantity: int) -> str:
    """Returns the range of whole numbers between two powers of two to which a quantity belongs, such as `4 to 7`."""
    if quantity < 2:
        return str(quantity)
    least = 1 << (quantity.bit_length() - 1)
    return f"{least:,} to {2 * least - 1:,}"


def measure(
    metric: Metric,
    examples: ByExample,
    table: Mapping[str, Sequence[str]],
    slices: Sequence[Slices],
    folder: Path,
) -> Measured:
    """Measures the metric in each slice.

    Args:
        metric: The task's first metric.
        examples: The metric by example.
        table: The result of `of_examples`.
        slices: The features and the limits.
        folder: Folder for the files of TensorFlow Model Analysis.
    """
    import apache_beam as beam
    import pyarrow as pa
    import tensorflow_model_analysis as tfma
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    columns = {feature: [[name.encode()] for name in names] for feature, names in table.items()}
    columns |= {_VALUE: (examples.totals / examples.weights)[:, None].tolist()}
    columns |= {_WEIGHT: examples.weights[:, None].tolist()}
    # In this process, where the values are, whatever runner the recipe names.
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([pa.RecordBatch.from_pydict(columns)])
            | tfma.ExtractEvaluateAndWriteResults(eval_config=_config(metric, slices), output_path=str(folder))
        )
    figures: Figures = {feature: {} for feature in table}
    for key, values in tfma.load_eval_result(str(folder)).slicing_metrics:
        found = {name: value["doubleValue"] for name, value in values[""][""].items()}
        for feature, part in key:  # one feature, or none for all examples together
            figures[feature][part] = {metric.name: found[metric.name], _EXAMPLES: int(found[_EXAMPLES])}
    figures = {feature: _worst_first(metric, found) for feature, found in figures.items()}
    worse: dict[str, set[str]] = {}
    for result in tfma.load_validation_result(str(folder)).metric_validations_per_slice:
        for part in result.slice_key.single_slice_keys if result.failures else ():
            worse.setdefault(part.column, set()).add(part.bytes_value.decode())
    limits = {one.feature: one.worst for one in slices}
    return Measured(
        figures,
        tuple(_against(metric, feature, limits[feature], figures[feature], worse[feature]) for feature in worse),
        tuple(_line(metric, feature, found) for feature, found in figures.items()),
    )


def _config(metric: Metric, slices: Sequence[Slices]) -> Any:
    """Returns the configuration of TensorFlow Model Analysis, with the limits of the recipe."""
    from tensorflow_model_analysis.proto import config_pb2

    def by(*features):
        return config_pb2.SlicingSpec(feature_keys=features)

    bound = "upper_bound" if metric.better == "less" else "lower_bound"
    limits = [
        config_pb2.PerSliceMetricThreshold(
            slicing_specs=[by(one.feature)],
            threshold=config_pb2.MetricThreshold(
                value_threshold=config_pb2.GenericValueThreshold(**{bound: {"value": one.worst}})
            ),
        )
        for one in slices
        if one.worst is not None
    ]
    mean = config_pb2.MetricConfig(
        class_name="MeanPrediction", config=json.dumps({"name": metric.name}), per_slice_thresholds=limits
    )
    number = config_pb2.MetricConfig(class_name="ExampleCount", config=json.dumps({"name": _EXAMPLES}))
    return config_pb2.EvalConfig(
        # MeanPrediction ignores examples without a label.
        model_specs=[config_pb2.ModelSpec(prediction_key=_VALUE, label_key=_VALUE, example_weight_key=_WEIGHT)],
        metrics_specs=[
            config_pb2.MetricsSpec(metrics=[mean], example_weights={"weighted": True}),
            config_pb2.MetricsSpec(metrics=[number], example_weights={"unweighted": True}),
        ],
        slicing_specs=[by(), *(by(one.feature) for one in slices)],
    )


def _worst_first(metric: Metric, found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    order = sorted(found, key=lambda name: (found[name][metric.name], name), reverse=metric.better == "less")
    return {name: found[name] for name in order}


def _against(
    metric: Metric, feature: str, limit: float | None, found: Mapping[str, Mapping[str, float]], worse: set[str]
) -> str:
    """Returns the reason against a model with some slices worse than the limit."""
    assert limit is not None
    named = [f"{metric.text(values[metric.name])} in `{name}`" for name, values in found.items() if name in worse]
    more = [f"{len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
    return (
        f"`{metric.name}` must be {metric.limit(limit)} in each slice of `{feature}` (pipeline.slices). "
        f"Received: {', '.join([*named[:_NAMED], *more])}"
    )


def _line(metric: Metric, feature: str, found: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the worst slice of a feature in words."""
    name, values = next(iter(found.items()))
    return (
        f"Worst of {len(found):,} slices of `{feature}`: `{name}`, {metric.text(values[metric.name])} {metric.unit} "
        f"({values[_EXAMPLES]:,} example{'' if values[_EXAMPLES] == 1 else 's'})"
    )
