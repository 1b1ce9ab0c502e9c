"""Proposes a schema for a recipe's examples."""

import tempfile

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import statistics_pb2

from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.tfx import steps


def infer(recipe: Recipe) -> str:
    """Returns a schema that a recipe's examples agree with, for `pipeline.examples_schema`.

    The examples of all splits are read as a pipeline reads them, into a temporary folder.

    Raises:
        UserError: If the source cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        steps.read(recipe, folder)
        found = [tfdv.generate_statistics_from_tfrecord(f"{folder}/Split-{split}/*") for split in SPLITS]
    schema = tfdv.infer_schema(found[0], infer_feature_shape=False)
    for statistics in found[1:]:
        schema = tfdv.update_schema(schema, statistics)
    categories = _categories(found[0])
    for feature in schema.feature:
        if feature.name not in categories:
            feature.ClearField("domain")
    used = {feature.domain for feature in schema.feature}
    kept = [domain for domain in schema.string_domain if domain.name in used]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
    return text_format.MessageToString(schema)


def _categories(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> set[str]:
    """Returns the features that have each of their values twice on average.

    TFDV takes every feature of few values for a category: in a small data set also the ids of the examples.
    """
    return {
        feature.path.step[0]
        for feature in statistics.datasets[0].features
        if 0 < 2 * feature.string_stats.unique <= feature.string_stats.common_stats.num_non_missing
    }
