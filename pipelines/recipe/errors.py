"""What pydantic found wrong with a recipe, one readable line per mistake."""

import difflib
import json
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import pydantic

from ikelos.pipelines.recipe.yaml12 import Keys

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "too_short": "a list of at least {min_length} items",
    "too_long": "a list of at most {max_length} items",
    "string_too_short": "a text of at least {min_length} characters",
}


def nearest(key: str, valid: Iterable[str]) -> str | None:
    """The valid dotted key that `key` was most likely meant to be, or None if none is near.

    First comes one of the same name in another section, then one of a similar name in the same section (or
    anywhere, if there is no such section).
    """
    keys = list(valid)
    section, _, name = key.rpartition(".")
    namesakes = [other for other in keys if other.rpartition(".")[2] == name]
    if namesakes:
        return difflib.get_close_matches(key, namesakes, n=1, cutoff=0)[0]
    if section and section not in keys:
        return next(iter(difflib.get_close_matches(key, keys, n=1)), None)
    siblings = {other.rpartition(".")[2]: other for other in keys if other.rpartition(".")[0] == section}
    return next((siblings[close] for close in difflib.get_close_matches(name, siblings, n=1)), None)


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _agrees(model: type[pydantic.BaseModel], raw: Mapping[str, Any]) -> bool:
    """Whether `raw` may be meant for this member of a union: its choices are among the member's."""
    fields = {name: model.model_fields[name].annotation for name in raw if name in model.model_fields}
    choices = {name: typing.get_args(kind) for name, kind in fields.items() if typing.get_origin(kind) is Literal}
    return all(raw[name] in values for name, values in choices.items())


def valid_keys(config: type[pydantic.BaseModel], raw: Mapping[str, Any]) -> list[str]:
    """Every dotted key a recipe of this config may have, sections included.

    Of a union, those of the members that agree with `raw`, or of all if none does.
    """
    keys: dict[str, None] = {}
    for name, field in config.model_fields.items():
        keys[name] = None
        section = raw.get(name)
        section = section if isinstance(section, Mapping) else {}
        models = list(_models(field.annotation))
        for model in [model for model in models if _agrees(model, section)] or models:
            keys.update(dict.fromkeys(f"{name}.{key}" for key in valid_keys(model, section)))
    return list(keys)


def received(value: Any) -> str:
    """A value as YAML would have it, on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _path(location: tuple[str | int, ...], raw: Any) -> Keys:
    """The keys of an error's location that stand in the recipe, without pydantic's union members."""
    path: list[str | int] = []
    for position, key in enumerate(location):
        if isinstance(raw, Mapping) and key in raw:
            raw = raw[str(key)]
        elif isinstance(raw, list) and isinstance(key, int) and key < len(raw):
            raw = raw[key]
        elif position < len(location) - 1:
            continue
        path.append(key)
    return tuple(path)


def _expectation(error: Mapping[str, Any]) -> str:
    if error["type"] == "value_error":
        return f": {error['ctx']['error']}"
    if error["type"] in _EXPECTED:
        expected = _EXPECTED[error["type"]].format(**error.get("ctx", {}))
    else:
        expected = error["msg"].removeprefix("Input should be ")
    return f" must be {expected}. Received: {received(error['input'])}"


def _dotted(path: Keys) -> str:
    return ".".join(map(str, path))


def _names(path: Keys) -> str:
    """The dotted key without the places in lists, as `valid_keys` has it."""
    return _dotted(tuple(key for key in path if isinstance(key, str)))


def _unknown(path: Keys, guess: str | None, valid: list[str]) -> str:
    if guess:
        return f"unknown key {_dotted(path)}; the nearest valid key is {guess}"
    section = _names(path[:-1])
    siblings = [key.rpartition(".")[2] for key in valid if key.rpartition(".")[0] == section]
    return f"unknown key {_dotted(path)}; valid here: {', '.join(siblings)}"


def explain(
    error: pydantic.ValidationError,
    config: type[pydantic.BaseModel],
    raw: dict[str, Any],
    source: str,
    lines: dict[Keys, int],
    overrides: dict[tuple[str, ...], str],
) -> str:
    """Tells each mistake in one line: where it stands, its dotted key, what was expected and what came.

    Args:
        error: What the validation of `raw` raised.
        config: The class that was validated.
        raw: The sections of the recipe, after its overrides.
        source: The file's name.
        lines: The line of each key in the file.
        overrides: The `--set` arguments as they were written, by their key.
    """
    valid = ["task", "description", "from", *valid_keys(config, raw)]
    missing, others, meant = [], [], set()
    for item in error.errors(include_url=False):
        path = _path(item["loc"], raw)
        if item["type"] == "union_tag_not_found":
            path = (*path, item["ctx"]["discriminator"].strip("'"))
        override = _culprit(item, path, overrides)
        where = f"--set {overrides[override]}" if override else _in_file(source, path, lines)
        if item["type"] in ("missing", "union_tag_not_found"):
            missing.append((_names(path), f"{where}: missing key {_dotted(path)}"))
        elif item["type"] == "extra_forbidden":
            # `--set trainng.steps=20` makes a section `trainng`: what was written is the whole key.
            path = max(path, override or (), key=len)
            guess = nearest(_names(path), valid)
            meant.add(guess)
            others.append(f"{where}: {_unknown(path, guess, valid)}")
        else:
            others.append(f"{where}{': ' if path else ''}{_dotted(path)}{_expectation(item)}")
    # A misspelt key is also reported as missing: the line that says what was meant is enough.
    return "\n".join(others + [line for key, line in missing if key not in meant])


def _culprit(error: Mapping[str, Any], path: Keys, overrides: dict[tuple[str, ...], str]) -> tuple[str, ...] | None:
    """The override that made the mistake, or None if the file did."""
    near = [key for key in overrides if path[: len(key)] == key]
    if error["type"] not in ("missing", "union_tag_not_found"):
        near += [key for key in overrides if key[: len(path)] == path]
    if error["type"] == "value_error":
        # A rule of a whole section: its message names the keys.
        near = [key for key in near if key[-1] in str(error["ctx"]["error"])]
    return near[-1] if near else None


def _in_file(source: str, path: Keys, lines: dict[Keys, int]) -> str:
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return source if line is None else f"{source}:{line}"
