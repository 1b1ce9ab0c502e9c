"""The work of a pipeline's nodes, without TFX.

Each function reads the folders that earlier nodes wrote and writes one of its own. A model's weights are those of
`ikelos run` with the same recipe: the data, its order and all phases are the same.

`read` and `prepare` divide the examples into chunks, and a function that works like `map` distributes these to workers.
Workers exchange files, in folders or object stores that all of them reach.
"""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ikelos.pipelines import origin, phases, runner, trained
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.console import Progress
from ikelos.pipelines.data import fingerprint, preparation, records, sources, writing
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.preparation import Preparation, Prepared
from ikelos.pipelines.data.records import Chunk, Records
from ikelos.pipelines.data.writing import Recorder, Writer
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import START, Folder
from ikelos.pipelines.lock import locked
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.recipe import Recipe
from ikelos.pipelines.tfx import partial, slices, storage
from ikelos.pipelines.training.start import Choice, Start
from ikelos.serving import files

_LINKED = (".npz", ".bin")
"""Suffixes of checkpoints and columns of stores, which are written once."""

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A function like `map`: yields the results of a function for some items, in order. Items and results are JSON."""


@dataclasses.dataclass(frozen=True)
class Served:
    """The run of the served model.

    Attributes:
        uri: URI of its artifact.
        folder: Local folder with the content of the artifact.
    """

    uri: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model may be served.

    Attributes:
        headline: The model's figures beside the baselines', in one line.
        slices: The worst slice of each feature of `pipeline.slices`, in one line each.
        against: Reasons why it must not be served; empty if it may.
    """

    headline: str
    slices: tuple[str, ...]
    against: tuple[str, ...]


def read(recipe: Recipe, folder: str | Path, each: Each = map, beam_options: Any = None) -> None:
    """Reads the examples of the recipe's source into an empty folder, in their order, undecoded.

    Args:
        recipe: The recipe.
        folder: Folder or URL that all workers reach.
        each: Function that distributes the chunks of the source.
        beam_options: Options of Apache Beam, for `state`.

    Raises:
        UserError: If the source cannot be read, or changes meanwhile.
    """
    before, source = state(recipe, beam_options), tasks.of_recipe(recipe).preparation()
    jobs = [[split, number, chunk] for split in SPLITS for number, chunk in enumerate(source.chunks(split))]
    work = functools.partial(_read_chunk, partial.text(recipe, "data"), str(folder))
    chunks: dict[Split, list[Any]] = {split: [] for split in SPLITS}
    with Progress("reading the examples", "examples") as progress:
        progress.advance(0)
        for (split, *_), facts in zip(jobs, each(work, jobs), strict=True):
            chunks[split].append(facts)
            progress.advance(facts["examples"])
    storage.write(f"{folder}/{records.ABOUT}", records.summary(chunks, source.about()).encode())
    if state(recipe) != before:
        raise UserError(f"The data of {source.name} changed while it was read. Start again when it no longer changes.")


def _read_chunk(recipe: str, folder: str, job: tuple[Split, int, Chunk]) -> dict[str, Any]:
    split, number, chunk = job
    source = tasks.of_recipe(partial.loaded(recipe)).preparation()
    with storage.created(records.path_of(folder, split, number)) as path:
        return records.write(path, source.records(split, chunk))


def state(recipe: Recipe, beam_options: Any = None) -> str:
    """Returns a text that changes whenever the examples of the recipe's source change. Reads none of them.

    Args:
        recipe: The recipe.
        beam_options: Options of Apache Beam, with which a data set that is not prepared is prepared first.
    """
    with sources.beam_options(beam_options):
        identity = json.dumps(tasks.of_recipe(recipe).preparation().identity(), sort_keys=True)
    return fingerprint.sha256([identity.encode()])


def prepare(
    recipe: Recipe,
    examples: str | Path,
    folder: Path,
    staging: str | Path,
    each: Each = map,
    start: Served | None = None,
) -> None:
    """Prepares examples that `read` wrote: the fitted preprocessing, and the stores of `ikelos data`.

    The numbers and the checksums of the examples are copied too.

    The preprocessing is fitted in this process, and the prepared chunks are joined in it.

    Args:
        recipe: The recipe.
        examples: Folder or URL that `read` filled.
        folder: Folder for the prepared data.
        staging: Folder or URL for prepared chunks that all workers reach; it is removed at the end.
        each: Function that distributes the chunks.
        start: The served run whose weights the training will begin with. The parts of its preprocessing that its model
            depends on are reused, and the run and its checkpoints are recorded. None to train from scratch.

    Raises:
        UserError: If more of the examples are faulty than the recipe allows, or the served run is of another task or
            its preprocessing does not agree with the recipe.
    """
    source = tasks.of_recipe(recipe).preparation()
    if start is not None:
        with naming_warm_start(start.uri):
            before = trained.load(start.folder)
        origin.check_task(recipe, before, _warm_start_choice(start.uri))
        with naming_warm_start(start.uri):
            source = source.reusing(before.folder.preprocessing)
        origin.record(before, start.uri, folder / START)
    copy(_prepared(recipe, source, examples, staging, each).folder, folder)
    (folder / records.ABOUT).write_bytes(storage.read(f"{examples}/{records.ABOUT}"))


def _prepared(
    recipe: Recipe, source: Preparation[Any], examples: str | Path, staging: str | Path, each: Each
) -> Prepared[Any]:
    """Prepares recorded examples chunk by chunk, with the preprocessing of `source`; removes `staging` at the end."""
    found = Records(examples, storage.opened)
    preprocessing = f"{staging}/preprocessing"

    def write(learned: Preprocessing, split: Split, writer: Writer) -> None:
        if not storage.exists(f"{preprocessing}/{storage.COMPLETE}"):
            with storage.published(preprocessing) as place:
                learned.save(place)
        work = functools.partial(_prepare_chunk, partial.text(recipe, "data"), str(examples), str(staging), split)
        first, start = writer.cursor or (0, 0)
        numbers = found.chunks(split)[first:]
        for number, calls in zip(numbers, each(work, numbers), strict=True):
            with storage.opened(calls) as path:
                writing.repeat(path, writer, number, start)
            storage.remove(calls)
            start = 0

    storage.remove(str(staging))  # what a killed process left
    try:
        return preparation.prepare(source.from_records(found), write)
    finally:
        storage.remove(str(staging))


def _prepare_chunk(recipe: str, examples: str, staging: str, split: Split, number: int) -> str:
    """Prepares a chunk of examples, and returns where the calls for the writer of the store are."""
    kept = Records(examples, storage.opened).only(split, number)
    source = tasks.of_recipe(partial.loaded(recipe)).preparation().from_records(kept)
    calls = f"{staging}/{split}-{number:05d}"
    with storage.fetched(f"{staging}/preprocessing") as folder:
        learned = source.load(folder)
    with storage.created(calls) as path, path.open("wb") as file:
        source.write(learned, split, Recorder(file))
    return calls


def began_with(prepared: Path) -> str | None:
    """Returns the URI of the run that `prepare` recorded; None if the training begins from scratch."""
    path = prepared / START
    return json.loads(path.read_text(encoding="utf-8"))["run"] if path.is_file() else None


def _warm_start_choice(uri: str) -> Choice:
    return Choice(
        "`pipeline.warm_start` must be false unless the served run is one",
        f"pipeline.warm_start=true, with {uri} served",
    )


@contextlib.contextmanager
def naming_warm_start(uri: str) -> Iterator[None]:
    """Context manager that adds to an error of the user that the served run is the one to begin with."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{error} (`pipeline.warm_start` is true, and {uri} is served: train once with `pipeline.warm_start=false`)"
        ) from error


def train(recipe: Recipe, prepared: Path, run: Path, model: Path, start: Path | None = None) -> None:
    """Trains a model as `ikelos run` does, or continues where an earlier call was killed, and exports it.

    The work is done in the cache of Ikelos, in a folder that is the same for the same weights.

    Args:
        recipe: The recipe.
        prepared: Folder that `prepare` wrote.
        run: Folder to copy the run to, without figures, and with the checksums of the examples.
        model: Folder to copy the SavedModel to.
        start: Folder of the run that `began_with` names; None if it names none.

    Raises:
        UserError: If the recipe has `from`, which a pipeline does not support, the run to begin with has another
            architecture or does not fit the data, or as `phases.train`.
        Terminated: If SIGTERM or SIGINT came while training; the next call continues.
    """
    if recipe.start is not None:
        raise UserError(f"`from` must be null in a pipeline. Received: from={recipe.start}")
    task = tasks.of_recipe(recipe)
    data = preparation.opened(task.preparation(), prepared)
    decisive = [
        runner.weights_sha256(recipe, data.splits),
        (prepared / preparation.LEARNED).read_text(),
        *partial.versions(),
    ]
    weights = None
    if began_with(prepared) is not None:
        assert start is not None
        weights = _initial_weights(recipe, data.learned, prepared, start)
        decisive.append((prepared / START).read_text())
    name = f"{recipe.name}-{fingerprint.sha256(str(part).encode() for part in decisive)[:16]}"
    folder = Folder(preparation.cache() / "pipelines" / name)
    with locked(folder.path, wait=True):
        if folder.preprocessing.is_dir():
            files.write(folder.recipe, recipes.dump(recipe))
        else:
            unfinished = folder.preprocessing.with_name(folder.preprocessing.name + files.UNFINISHED)
            shutil.rmtree(unfinished, ignore_errors=True)
            phases.keep(data, unfinished)
            if weights is not None:
                shutil.copy2(prepared / START, unfinished)
            files.write(folder.recipe, recipes.dump(recipe))
            files.finish(unfinished, folder.preprocessing)
        started = runner.Started(recipe, folder, task, data.learned)
        models = phases.train(task, data.learned, data.splits, folder.stage, weights)
        runner.save_models(started, models)
        version = runner.newest_export(started, models)
        copy(folder.path, run)
        copy_file(prepared / records.ABOUT, run / records.ABOUT)
        copy(version, model)


def _initial_weights(recipe: Recipe, learned: Preprocessing, prepared: Path, run: Path) -> Start:
    """Returns the source of the initial weights, a run that fits the recipe and the preprocessing of its data."""
    uri = began_with(prepared)
    assert uri is not None
    before, choice = trained.load(run), _warm_start_choice(uri)
    origin.check_architecture(recipe, before, choice)
    with naming_warm_start(uri):
        tasks.of_recipe(recipe).check_preprocessing(learned, before.preprocessing)
    return origin.recorded(lambda: before, prepared / START, choice)


def evaluate(
    recipe: Recipe, examples: str | Path, prepared: Path, run: Path, served: Path | None, folder: Path
) -> Verdict:
    """Evaluates a trained model, writes its report, and compares it with the recipe's limits and the served model.

    Args:
        recipe: The recipe.
        examples: Folder or URL that `read` filled.
        prepared: Folder that `prepare` wrote.
        run: Folder of the run that `train` returned.
        served: Folder of the served model's run; None if there is none to compare with.
        folder: Folder for the report and the figures.

    Returns:
        The verdict.

    Raises:
        UserError: If the served model is of another task, the training is not finished, or as `recipes.load` and
            `slices.of_examples`.
    """
    settings, where = recipe.config.pipeline, Folder(run)
    assert settings is not None
    blessing = settings.blessing
    served_recipe = _recipe_of_served(recipe, served) if blessing.better_than_last and served is not None else None
    task = tasks.of_recipe(recipe)
    data = preparation.opened(task.preparation(), prepared)
    features = [one.feature for one in settings.slices]
    names = slices.of_examples(Records(examples, storage.opened), data.splits["test"].ids, features) if features else {}
    preprocessing, models = phases.restore(task, where.preprocessing, where.stage)
    started = runner.Started(recipe, where, task, preprocessing)
    results = runner.measure(started, data.splits, models, Folder(folder))
    metric = task.metrics[0]
    value, against = results["model"][metric.name], []
    if blessing.worst is not None and metric.improves(blessing.worst, value):
        against.append(
            f"`{metric.name}` must be {metric.limit(blessing.worst)} (pipeline.blessing.worst). "
            f"Received: {metric.text(value)}"
        )
    if served_recipe is not None and served is not None:
        figure = _remeasured(served_recipe, examples, Folder(served))[metric.name]
        results["served"] = {metric.name: figure}
        if not metric.improves(value, figure):
            against.append(
                f"`{metric.name}` must be better than that of the served model on the same data, "
                f"{metric.text(figure)}. Received: {metric.text(value)}"
            )
    lines: tuple[str, ...] = ()
    if settings.slices:
        by_example = task.by_example(results["model"])
        measured = slices.measure(metric, by_example, names, settings.slices, folder)
        results["slices"], lines = measured.figures, measured.lines
        against += measured.against
    results["against"] = against
    files.write(Folder(folder).evaluation, json.dumps(results, indent=2) + "\n")
    return Verdict(task.headline(results), lines, tuple(against))


def _recipe_of_served(recipe: Recipe, served: Path) -> Recipe:
    """Returns the recipe of a served model, with the data source and the evaluation of another recipe.

    Raises:
        UserError: If the served model is of another task.
    """
    path, plain = Folder(served).recipe, recipes.plain(recipe)
    if (task_there := recipes.load(path).task) != recipe.task:
        raise UserError(f"`task` must be that of the served model, {task_there}. Received: task={recipe.task}")
    same = {"evaluation": plain["evaluation"]}
    if "source" in plain.get("data", {}):
        same["data.source"] = plain["data"]["source"]
    return recipes.load(path, [f"{key}={json.dumps(value)}" for key, value in same.items()])


def _remeasured(recipe: Recipe, examples: str | Path, served: Folder) -> dict[str, Any]:
    """Returns the figures of a served model on examples; the recipe is that of `_recipe_of_served`."""
    task = tasks.of_recipe(recipe)
    with tempfile.TemporaryDirectory() as staging:
        data = _prepared(recipe, task.preparation().reusing(served.preprocessing), examples, staging, map)
    _, models = phases.restore(task, served.preprocessing, served.stage)
    return phases.served_figures(task, data.learned, data.splits, models)


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
