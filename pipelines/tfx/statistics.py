"""What the nodes do with statistics of examples: reading and comparing them, and describing anomalies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_data_validation import constants as tfdv_constants
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import storage

STATISTICS_FILE = "statistics.pb"
"""File in the artifacts of the prepared data and of the run: the statistics of the training examples."""
_NOT_TEXTS = (tfdv_constants.NON_UTF8_PLACEHOLDER, tfdv_constants.LARGE_BYTES_PLACEHOLDER)
"""What the statistics have in place of values that are not UTF-8, or are too large."""


def split_statistics(statistics, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns the statistics of a split in an artifact `statistics`."""
    return read_statistics(f"{statistics.uri}/Split-{split}/FeatureStats.pb")


def read_statistics(uri: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns the statistics in a file."""
    # `tfdv.load_stats_binary` reads by TensorFlow, which cannot read s3://.
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(storage.read(uri))


def skew_anomalies(
    trained: statistics_pb2.DatasetFeatureStatisticsList,
    logged: statistics_pb2.DatasetFeatureStatisticsList,
    limits: Sequence[Mapping[str, Any]],
) -> anomalies_pb2.Anomalies:
    """Returns the features in which logged requests differ too much from the training examples, and no other anomalies.

    Raises:
        UserError: If a feature cannot be compared.
    """
    distances = {limit["feature"]: limit["distance"] for limit in limits}
    rules = tfdv.infer_schema(trained)  # of the curated schema, the ExampleValidator lists the anomalies
    for feature in rules.feature:
        if feature.name in distances:
            feature.skew_comparator.jensen_shannon_divergence.threshold = distances[feature.name]
    result = tfdv.validate_statistics(trained, rules, serving_statistics=logged)
    measured = {info.path.step[0] for info in result.drift_skew_info if info.skew_measurements}
    check_applied("pipeline.skew.limits", limits, trained, measured)
    return result


def check_applied(
    key: str,
    limits: Sequence[Mapping[str, Any]],
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    measured: Iterable[str],
) -> None:
    """Checks that each limit was applied.

    TFDV raises no error for a feature that it did not compare, and takes all values that are not UTF-8 for one value.
    """
    files = {
        feature.path.step[0]
        for feature in statistics.datasets[0].features
        if any(value.value in _NOT_TEXTS for value in feature.string_stats.top_values)
    }
    compared = set(measured) - files
    if missing := sorted({limit["feature"] for limit in limits} - compared):
        raise UserError(
            f"`{key}` must name features of the training examples that have numbers or texts. "
            f"Received: {', '.join(missing)}"
        )


def anomaly_lines(split: str, result: anomalies_pb2.Anomalies) -> list[str]:
    """Returns a line for each anomaly, with split and feature."""
    about = [f"{split}: {result.dataset_anomaly_info.description}"] if result.HasField("dataset_anomaly_info") else []
    return about + [
        f"{split}: feature `{name}`: {reason.description}"
        for name, info in sorted(result.anomaly_info.items())
        for reason in info.reason
    ]
