"""The model card of a run's exports, from the recipe and the figures of its evaluation."""

from collections.abc import Mapping
from typing import Any

from ikelos import serving
from ikelos.pipelines.data import known
from ikelos.pipelines.data.config import Source
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.task import Task


def of_run(
    recipe: Recipe, task: Task[Any, Any], provenance: Mapping[str, Any], results: Mapping[str, Any] | None
) -> serving.Card:
    """Returns the card of a run.

    Args:
        recipe: Its recipe.
        task: Its task.
        provenance: What the version depends on.
        results: The content of `evaluation.json`; None if these weights have not been evaluated.
    """
    source = getattr(getattr(recipe.config, "data", None), "source", None)
    return serving.Card(
        task=task.title,
        description=recipe.description,
        data=_data(source, results or {}),
        licence=known.licence(source) if isinstance(source, Source) else "",
        metrics=() if results is None else tuple(_metric(metric, task, results) for metric in task.metrics),
        provenance=provenance,
    )


def _data(source: Source | None, results: Mapping[str, Any]) -> dict[str, Any]:
    splits = {f"Examples of {split}": facts["examples"] for split, facts in results.get("data", {}).items()}
    hashes = {f"SHA-256 of {split}": facts["sha256"] for split, facts in results.get("data", {}).items()}
    return ({} if source is None else {"Source": source.title("files")}) | splits | hashes


def _metric(metric: Metric, task: Task[Any, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"with float32 weights": results["float32_model"]} if "float32_model" in results else {}
    compared = plain | results["baselines"]
    others = {name: values[metric.name] for name, values in compared.items() if metric.name in values}
    if metric is task.metrics[0]:
        others |= {peer.name: peer.value for peer in task.peers}
    return {
        "name": metric.name,
        "unit": metric.unit,
        "better": metric.better,
        "value": results["model"][metric.name],
        "others": others,
    }
