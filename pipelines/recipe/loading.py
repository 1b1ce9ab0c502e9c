"""Loads recipes: reads the YAML, applies overrides and checks every key, without TensorFlow."""

import dataclasses
import difflib
import importlib
import importlib.resources
import json
import pkgutil
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pydantic
import yaml

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import errors as recipe_errors
from ikelos.pipelines.recipe import yaml12
from ikelos.pipelines.recipe.keys import HEAD
from ikelos.pipelines.recipe.sections import TaskConfig

RECIPES: Traversable = importlib.resources.files("ikelos") / "tfx_configs"
TASKS = "ikelos.pipelines.tasks"
_SHOWN = 100
"""Maximum number of characters of an override in an error."""
ABSENT = "(absent)"
"""Value in the result of `difference` for a key that a recipe does not have."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: Name of the file without its suffix.
        task: Name of the task, a package in `ikelos.pipelines.tasks`.
        description: One line: what the recipe does, its time, the metric to expect. Empty if the file has none, and
            with overrides, which could make it wrong, unless they set it.
        start: Value of the key `from`: the folder of a run that gives this one its initial weights and preprocessing;
            None if there is no such key.
        source: Path of the file.
        config: The task's `Config`, frozen.
        raw: The plain data, with overrides applied.
    """

    name: str
    task: str
    description: str
    start: str | None
    source: str
    config: TaskConfig
    raw: dict[str, Any]


def names() -> dict[str, str]:
    """Returns the names of the recipes that come with Ikelos, each with its description."""
    files = sorted((file for file in RECIPES.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    found = {}
    for file in files:
        raw, _ = parse(file.read_text(encoding="utf-8"), str(file))
        found[file.name.removesuffix(".yaml")] = " ".join(raw.get("description", "").split())
    return found


def load(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Reads a recipe, applies overrides and checks every key.

    Args:
        name_or_path: Name of a recipe that comes with Ikelos, or path of a file (a `Path`, or a text with a slash or
            the suffix `.yaml` or `.yml`).
        overrides: Texts such as `"training.steps=20"`; the part after `=` is YAML. If it is empty, the key is removed
            with everything in it.

    Returns:
        The checked recipe.

    Raises:
        UserError: If the recipe or an override is invalid. The message has one line per mistake, with the file or the
            override, the key and the expected value.
    """
    file = _find(name_or_path)
    return _checked(file, read(file), overrides)


def text(name_or_path: str | Path) -> str:
    """Returns the text of a recipe's file, comments included.

    Raises:
        UserError: As `load`.
    """
    file = _find(name_or_path)
    content = read(file)
    _checked(file, content, ())
    return content


def _checked(file: Traversable, content: str, overrides: Iterable[str]) -> Recipe:
    source = str(file)
    raw, lines = parse(content, source)
    written, absent = apply_overrides(raw, overrides)
    where = {key: f"--set {written[(key,)]}" if (key,) in written else source for key in HEAD}
    task = _text(raw.get("task"), "task", where["task"])
    described = "description" in raw and (not written or ("description",) in written)
    description = _text(raw["description"], "description", where["description"]) if described else ""
    start = None if raw.get("from") is None else _text(raw["from"], "from", where["from"])
    config_of_task = config_class(task, where["task"])
    sections = {key: value for key, value in raw.items() if key not in HEAD}
    for path, override in absent.items():
        recipe_errors.check_known(path, override, config_of_task, sections)
    try:
        # In strict mode, pydantic accepts a list for a tuple only from JSON, not from Python objects.
        config = config_of_task.model_validate_json(json.dumps(sections))
    except pydantic.ValidationError as error:
        message = recipe_errors.explain(error, config_of_task, sections, source, lines, written)
        raise UserError(message) from None
    return Recipe(
        name=file.name.removesuffix(".yaml"),
        task=task,
        description=" ".join(description.split()),
        start=start,
        source=source,
        config=config,
        raw=raw,
    )


def dump(recipe: Recipe) -> str:
    """Returns the recipe, overrides applied, as YAML that `load` reads back to an equal config."""
    return yaml12.dumps(plain(recipe))


def difference(*recipes: Recipe) -> dict[str, tuple[Any, ...]]:
    """Returns the dotted keys in which recipes differ, with the value in each recipe (`ABSENT` if it lacks the key)."""
    found = [dict(leaves(plain(recipe))) for recipe in recipes]
    keys = dict.fromkeys(key for values in found for key in values)
    values = {key: tuple(values.get(key, ABSENT) for values in found) for key in keys}
    return {key: given for key, given in values.items() if any(value != given[0] for value in given)}


def written(value: Any) -> str:
    """Returns a value as a recipe has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def leaves(value: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    """Yields the values of nested sections, each with its dotted key."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def plain(recipe: Recipe) -> dict[str, Any]:
    """Returns all values of a recipe, overrides and defaults included, as plain data."""
    head = {"task": recipe.task} | ({"description": recipe.description} if recipe.description else {})
    head |= {"from": recipe.start} if recipe.start else {}
    return head | recipe.config.model_dump(mode="json")


def config_class(task: str, source: str) -> type[TaskConfig]:
    """Returns the config class of a task.

    Raises:
        UserError: If there is no such task; the message begins with `source`.
    """
    package = importlib.import_module(TASKS)
    known = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)
    if task not in known:
        raise UserError(f"{source}: task must be one of {', '.join(known)}. Received: {_guessed(task, known)}")
    return importlib.import_module(f"{TASKS}.{task}.config").Config


def read(file: Traversable) -> str:
    """Returns the text of a recipe's file.

    Raises:
        UserError: If the file cannot be read, or is not UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} must be a text file in UTF-8. Received: {error.reason}") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None


def _find(name_or_path: str | Path) -> Traversable:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        path = Path(name_or_path).expanduser()
        if path.is_dir():
            raise UserError(f"a recipe must be a YAML file. Received: {text}, a folder")
        if not path.exists():
            raise UserError(f"a recipe must be a YAML file. Received: {text}, which does not exist")
        return path
    known = names()
    if text not in known:
        raise UserError(
            f"a recipe must be one of {', '.join(known)}, or the path of a YAML file. Received: {_guessed(text, known)}"
        )
    return RECIPES / f"{text}.yaml"


def _guessed(name: str, known: Iterable[str]) -> str:
    """Returns a wrong name, with the most similar known name as a suggestion."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"{name!r} (did you mean {close[0]}?)" if close else repr(name)


def parse(text: str, source: str) -> tuple[dict[str, Any], dict[yaml12.Keys, int]]:
    """Returns the sections of a recipe as plain data, and the line of each key.

    Raises:
        UserError: If the text is not YAML, or not sections; the message begins with `source`.
    """
    try:
        raw, lines = yaml12.loads(text)
    except yaml.YAMLError as error:
        line, problem = _yaml_problem(error)
        raise UserError(f"{source}{line}: must be YAML. Received: {problem}") from None
    if not isinstance(raw, dict):
        raise UserError(
            f"{source}: a recipe must be sections of keys and values. Received: {recipe_errors.received(raw)}"
        )
    return raw, lines


def _yaml_problem(error: yaml.YAMLError) -> tuple[str, str]:
    """Returns the line of a YAML error, such as `:3` or an empty text, and the problem."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return (f":{mark.line + 1}", f"{problem} (column {mark.column + 1})") if mark else ("", problem)


def apply_overrides(
    raw: dict[str, Any], overrides: Iterable[str]
) -> tuple[dict[tuple[str, ...], str], dict[tuple[str, ...], str]]:
    """Applies overrides to `raw`.

    Returns:
        Two dicts from keys to overrides as written: of all overrides, and of those that remove a key that is absent.

    Raises:
        UserError: If an override is not KEY=VALUE, or its key is in a value.
    """
    written, absent = {}, {}
    for text in overrides:
        key, equals, value_text = text.partition("=")
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise UserError(f"--set must be KEY=VALUE, such as training.steps=20. Received: {shown!r}")
        try:
            value, _ = yaml12.loads(value_text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {shown}: the value must be YAML. Received: {_yaml_problem(error)[1]}") from None
        removes = not value_text.strip()
        section = raw
        for depth, name in enumerate(path[:-1], start=1):
            inner = section.get(name)
            if inner is None:
                inner = {}
                if not removes:
                    section[name] = inner
            if not isinstance(inner, dict):
                raise UserError(f"--set {shown}: {'.'.join(path[:depth])} is a value, not a section")
            section = inner
        written[path] = shown
        if not removes:
            section[path[-1]] = value
        elif path[-1] in section:
            del section[path[-1]]
        else:
            absent[path] = shown
    return written, absent


def _text(value: Any, key: str, source: str) -> str:
    if value is None:
        raise UserError(f"{source}: missing key {key}")
    if not isinstance(value, str):
        raise UserError(f"{source}: {key} must be text. Received: {recipe_errors.received(value)}")
    return value
