"""The work of a pipeline's nodes, on local folders and without TFX.

Each function reads the folders that earlier nodes wrote and writes one of its own. A model's weights are those of
`ikelos run` with the same recipe: the data, its order and all phases are the same.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines import phases, runner
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import fingerprint, patterns, preparation, records
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.records import Record, Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.lock import locked
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.tfx.partial import versions
from ikelos.serving import files, prediction_log

_LINKED = (".npz", ".bin")
"""Suffixes of checkpoints and columns of stores, which are written once."""
_DTYPES = {bytes: "O", int: "iub"}
"""The kinds of NumPy's dtypes for each kind of feature."""
_OF_BYTES = "_bytes"
"""Suffix of the names of inputs with bytes that are not text, such as `image_bytes` for the feature `image`."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model may be served.

    Attributes:
        headline: The model's figures beside the baselines', in one line.
        against: Reasons why it must not be served; empty if it may.
    """

    headline: str
    against: tuple[str, ...]


def read(recipe: Recipe, folder: Path) -> None:
    """Reads the examples of the recipe's source into a folder, in their order, undecoded.

    Raises:
        UserError: If the source cannot be read, or changes meanwhile.
    """
    before, source = state(recipe), tasks.of_recipe(recipe).preparation()
    records.write(folder, {split: source.records(split) for split in SPLITS}, source.about())
    if state(recipe) != before:
        raise UserError(f"The data of {source.name} changed while it was read. Start again when it no longer changes.")


def state(recipe: Recipe) -> str:
    """Returns a text that changes whenever the examples of the recipe's source change. Reads none of them."""
    identity = json.dumps(tasks.of_recipe(recipe).preparation().identity(), sort_keys=True)
    return fingerprint.sha256([identity.encode()])


def prepare(recipe: Recipe, examples: Path, folder: Path) -> None:
    """Prepares examples that `read` wrote: the fitted preprocessing, and the stores of `ikelos data`.

    Raises:
        UserError: If more of the examples are faulty than the recipe allows.
    """
    source = tasks.of_recipe(recipe).preparation().from_records(Records(examples))
    copy(preparation.prepare(source).folder, folder)


def requests(log_patterns: Sequence[str], kinds: Mapping[str, type], limited: Sequence[str], path: Path) -> int:
    """Writes the rows of logged requests as examples, to be compared with the training examples.

    A row has the features that its inputs give. An input gives the feature of its name, without an ending `_bytes`, if
    it has one value for each row, and both hold bytes or both hold integers. The feature `bytes` is the size of the
    row's bytes. Rows without a feature are left out.

    Args:
        log_patterns: Patterns of the files of logged requests.
        kinds: `bytes` or `int` for each feature of the training examples.
        limited: Features that the requests must give.
        path: File to write.

    Returns:
        The number of rows that were written; 0 if there are no logged requests.

    Raises:
        UserError: If a file has other content, or no request gives one of the features `limited`.
    """
    import tensorflow as tf

    rows = 0
    given: set[str] = set()
    inputs: set[str] = set()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for file in _log_files(log_patterns):
            try:
                for request in prediction_log.requests(Path(file)):
                    inputs |= request.keys()
                    for features in _rows(request, kinds):
                        writer.write(records.encode(features))
                        given |= features.keys()
                        rows += 1
            except ValueError as error:
                raise UserError(f"`pipeline.skew.requests` must match logs of requests only: {error}") from error
    if inputs and (missing := sorted(set(limited) - given)):
        raise UserError(
            "`pipeline.skew.limits` must name features that the requests give: "
            f"{', '.join(sorted(given)) or 'there are none'} (of the inputs {', '.join(sorted(inputs))}). "
            f"Received: {', '.join(missing)}"
        )
    return rows


def state_of_requests(log_patterns: Sequence[str]) -> str:
    """Returns a text that changes whenever the files of logged requests change. Reads none of them."""
    return fingerprint.sha256([json.dumps(patterns.state(_log_files(log_patterns))).encode()])


def _log_files(log_patterns: Sequence[str]) -> list[str]:
    return sorted({file for pattern in log_patterns for file in patterns.matches(pattern)})


def _rows(request: Mapping[str, np.ndarray], kinds: Mapping[str, type]) -> Iterator[dict[str, Any]]:
    """Yields the features of each row of a request that has any.

    Raises:
        ValueError: If inputs have different numbers of rows.
    """
    columns = {}
    for feature in sorted(kinds.keys() - set(records.OWN)):
        for name in (feature, feature + _OF_BYTES):
            values = request.get(name)
            if values is not None and values.ndim == 1 and values.dtype.kind in _DTYPES[kinds[feature]]:
                columns[feature] = values.tolist()
                break
    if len({len(values) for values in columns.values()}) > 1:
        raise ValueError(f"Inputs of a request must have one number of rows. Received: {', '.join(columns)}")
    for row in zip(*columns.values(), strict=True):
        features = dict(zip(columns, row, strict=True))
        if bytes in map(type, row):
            features["bytes"] = Record("", features).size
        yield features


def train(recipe: Recipe, prepared: Path, run: Path, model: Path) -> None:
    """Trains a model as `ikelos run` does, or continues where an earlier call was killed, and exports it.

    The work is done in the cache of Ikelos, in a folder that is the same for the same weights.

    Args:
        recipe: The recipe.
        prepared: Folder that `prepare` wrote.
        run: Folder to copy the run to, without figures.
        model: Folder to copy the SavedModel to.

    Raises:
        UserError: If the recipe has `from`, which a pipeline does not support, or as `phases.train`.
        Terminated: If SIGTERM or SIGINT came while training; the next call continues.
    """
    if recipe.start is not None:
        raise UserError(f"`from` must be null in a pipeline. Received: from={recipe.start}")
    task = tasks.of_recipe(recipe)
    data = preparation.opened(task.preparation(), prepared)
    decisive = [runner.weights_sha256(recipe, data.splits), (prepared / preparation.LEARNED).read_text(), *versions()]
    name = f"{recipe.name}-{fingerprint.sha256(str(part).encode() for part in decisive)[:16]}"
    folder = Folder(preparation.cache() / "pipelines" / name)
    with locked(folder.path, wait=True):
        if folder.preprocessing.is_dir():
            files.write(folder.recipe, recipes.dump(recipe))
        else:
            unfinished = folder.preprocessing.with_name(folder.preprocessing.name + files.UNFINISHED)
            shutil.rmtree(unfinished, ignore_errors=True)
            phases.keep(data, unfinished)
            files.write(folder.recipe, recipes.dump(recipe))
            files.finish(unfinished, folder.preprocessing)
        started = runner.Started(recipe, folder, task, data.learned)
        models = phases.train(task, data.learned, data.splits, folder.stage)
        runner.save_models(started, models)
        version = runner.newest_export(started, models)
        copy(folder.path, run)
        copy(version, model)


def evaluate(recipe: Recipe, examples: Path, prepared: Path, run: Path, served: Path | None, folder: Path) -> Verdict:
    """Evaluates a trained model, writes its report, and compares it with the recipe's limit and the served model.

    Args:
        recipe: The recipe.
        examples: Folder that `read` wrote.
        prepared: Folder that `prepare` wrote.
        run: Folder of the run that `train` returned.
        served: Folder of the served model's run; None if there is none to compare with.
        folder: Folder for the report and the figures.

    Returns:
        The verdict.

    Raises:
        UserError: If the served model is of another task, or the training is not finished.
    """
    task = tasks.of_recipe(recipe)
    data = preparation.opened(task.preparation(), prepared)
    where = Folder(run)
    preprocessing, models = phases.restore(task, where.preprocessing, where.stage)
    started = runner.Started(recipe, where, task, preprocessing)
    results = runner.measure(started, data.splits, models, Folder(folder))
    assert recipe.config.pipeline is not None
    metric, blessing = task.metrics[0], recipe.config.pipeline.blessing
    value, against = results["model"][metric.name], []
    if blessing.worst is not None and metric.improves(blessing.worst, value):
        limit = "at most" if metric.better == "less" else "at least"
        against.append(
            f"`{metric.name}` must be {limit} {metric.text(blessing.worst)} (pipeline.blessing.worst). "
            f"Received: {metric.text(value)}"
        )
    if blessing.better_than_last and served is not None:
        other = _remeasured(recipe, examples, served)[metric.name]
        results["served"] = {metric.name: other}
        if not metric.improves(value, other):
            against.append(
                f"`{metric.name}` must be better than that of the served model on the same data, "
                f"{metric.text(other)}. Received: {metric.text(value)}"
            )
    results["against"] = against
    files.write(Folder(folder).evaluation, json.dumps(results, indent=2) + "\n")
    return Verdict(task.headline(results), tuple(against))


def _remeasured(recipe: Recipe, examples: Path, served: Path) -> dict[str, Any]:
    """Returns the figures of a served model on examples, measured as the recipe says."""
    folder, plain = Folder(served), recipes.plain(recipe)
    if (task_there := recipes.load(folder.recipe).task) != recipe.task:
        raise UserError(f"`task` must be that of the served model, {task_there}. Received: task={recipe.task}")
    same = {"evaluation": plain["evaluation"]}
    if "source" in plain.get("data", {}):
        same["data.source"] = plain["data"]["source"]
    other = recipes.load(folder.recipe, [f"{key}={json.dumps(value)}" for key, value in same.items()])
    task = tasks.of_recipe(other)
    source = task.preparation().reusing(folder.preprocessing).from_records(Records(examples))
    data = preparation.prepare(source)
    _, models = phases.restore(task, folder.preprocessing, folder.stage)
    return task.evaluate(data.learned, data.splits, models)


def copy(source: Path, target: Path) -> None:
    """Copies a folder into another one, without locks and unfinished files.

    Within one file system, large files that nobody changes in place become hard links.
    """
    left_out = shutil.ignore_patterns("lock", ".incoming-*", f"*{files.UNFINISHED}")
    shutil.copytree(source, target, copy_function=copy_file, dirs_exist_ok=True, ignore=left_out)


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copies a file, or links it as `copy` does."""
    if str(source).endswith(_LINKED):
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copy2(source, target)
