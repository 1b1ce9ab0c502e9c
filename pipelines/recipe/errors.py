"""Turns pydantic's errors about a recipe into one readable line per mistake."""

import difflib
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe import yaml12
from ikelos.pipelines.recipe.keys import HEAD, alternatives, models
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
    "greater_than": "greater than {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "less than {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "too_short": "a list of at least {min_length} items",
    "too_long": "a list of at most {max_length} items",
    "string_too_short": "a text of at least {min_length} characters",
}


def nearest(key: str, valid: Iterable[str]) -> str | None:
    """Returns the valid dotted key that is most similar to `key`, or None if none is similar.

    A key of the same name in another section comes first, then one of a similar name in the same section (or anywhere,
    if the section does not exist).
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


def _agrees(model: type[pydantic.BaseModel], raw: Mapping[str, Any]) -> bool:
    """Returns whether `raw` may be meant for this member of a union: it must allow all values that choose a member."""
    fields = {name: model.model_fields[name].annotation for name in raw if name in model.model_fields}
    choices = {name: typing.get_args(kind) for name, kind in fields.items() if typing.get_origin(kind) is Literal}
    return all(raw[name] in values for name, values in choices.items())


def valid_keys(config: type[pydantic.BaseModel], raw: Mapping[str, Any]) -> list[str]:
    """Returns every dotted key that a recipe of this config may have, sections included.

    For a union, these are the keys of the members that agree with `raw`, or of all members if none agrees.
    """
    keys: dict[str, None] = {}
    for name, field in config.model_fields.items():
        keys[name] = None
        section = raw.get(name)
        section = section if isinstance(section, Mapping) else {}
        for model in _meant(field, section):
            keys.update(dict.fromkeys(f"{name}.{key}" for key in valid_keys(model, section)))
    return list(keys)


def _meant(field: FieldInfo, raw: Any) -> list[type[pydantic.BaseModel]]:
    """Returns the members of a field's union that agree with `raw`, or all members if none agrees."""
    members = list(models(field.annotation))
    return [member for member in members if isinstance(raw, Mapping) and _agrees(member, raw)] or members


def received(value: Any) -> str:
    """Returns a value as JSON on one line of at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _path(location: tuple[str | int, ...], raw: Any) -> Keys:
    """Returns the location of an error as keys of the recipe, without the union members that pydantic inserts."""
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
    given = error["ctx"]["tag"] if error["type"] == "union_tag_invalid" else error["input"]
    return f" must be {expected}. Received: {received(given)}"


def _dotted(path: Keys) -> str:
    return ".".join(map(str, path))


def _names(path: Keys) -> str:
    """Returns the dotted key without list indices, as in `valid_keys`."""
    return _dotted(tuple(key for key in path if isinstance(key, str)))


def _unknown(path: Keys, guess: str | None, valid: list[str]) -> str:
    if guess:
        return f"unknown key {_dotted(path)}; the nearest valid key is {guess}"
    section = _names(path[:-1])
    while section and section not in valid:
        section = section.rpartition(".")[0]
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
    """Returns one line per mistake: its place, its dotted key, the expected value and the received one.

    Args:
        error: Error of the validation of `raw`.
        config: Class of the config.
        raw: Sections of the recipe, with overrides applied.
        source: Name of the file.
        lines: Line of each key in the file.
        overrides: The `--set` arguments as written, by their key.
    """
    valid = [*HEAD, *valid_keys(config, raw)]
    switched = {path: text for path in overrides for text in [_switch(path, overrides, config, raw)] if text}
    missing, others, meant = [], list(switched.values()), set()
    for item in error.errors(include_url=False):
        path = _path(item["loc"], raw)
        if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
            path = (*path, item["ctx"]["discriminator"].strip("'"))
        follows = any(path[:-1] == chosen[:-1] for chosen in switched) and path not in overrides
        if follows and item["type"] in ("missing", "extra_forbidden"):
            continue
        override = _culprit(item, path, overrides) or _maker(path, overrides, raw)
        where = f"--set {overrides[override]}" if override else _in_file(source, path, lines)
        if item["type"] in ("missing", "union_tag_not_found"):
            missing.append((_names(path), f"{where}: missing key {_dotted(path)}"))
        elif item["type"] == "extra_forbidden":
            # `--set trainng.steps=20` creates a section `trainng`, but the user wrote the whole key.
            path = max(path, override or (), key=len)
            guess = nearest(_names(path), valid)
            meant.add(guess)
            others.append(f"{where}: {_unknown(path, guess, valid)}")
        else:
            others.append(f"{where}{': ' if path else ''}{_dotted(path)}{_expectation(item)}")
    # A misspelt key is also reported as missing: the line with the suggestion is enough.
    return "\n".join(others + [line for key, line in missing if key not in meant])


def check_known(path: tuple[str, ...], override: str, config: type[pydantic.BaseModel], raw: Mapping[str, Any]) -> None:
    """Checks that a key to be removed by an override is a valid key of this config.

    Raises:
        UserError: If it is not.
    """
    valid, key = [*HEAD, *valid_keys(config, raw)], ".".join(path)
    if key not in valid:
        raise UserError(f"--set {override}: {_unknown(path, nearest(key, valid), valid)}")


def _switch(
    path: tuple[str, ...],
    overrides: Mapping[tuple[str, ...], str],
    config: type[pydantic.BaseModel],
    raw: Mapping[str, Any],
) -> str | None:
    """Returns an error for an override such as `model.architecture=lstm` that requires other keys in its section.

    None if `path` is not the discriminator of a section, or the section has the keys that the new value requires.
    """
    field, members = None, [config]
    section: Any = raw
    for name in path[:-1]:
        field = next((member.model_fields[name] for member in members if name in member.model_fields), None)
        section = section.get(name)
        if field is None or not isinstance(section, Mapping):
            return None
        members = _meant(field, section)
    if field is None or field.discriminator != path[-1]:
        return None
    member = next((member for value, member in alternatives(field).items() if value == section.get(path[-1])), None)
    if member is None:
        return None
    needed = [name for name, of in member.model_fields.items() if of.is_required() and name not in section]
    superfluous = [name for name in section if name not in member.model_fields and (*path[:-1], name) not in overrides]
    if not needed and not superfluous:
        return None
    what = [f"without {', '.join(needed)}"] if needed else []
    what += [f"with {', '.join(superfluous)}"] if superfluous else []
    name, keys = ".".join(path[:-1]), [name for name in member.model_fields if name in section or name in needed]
    whole = ", ".join(f"{key}: {yaml12.inline(section[key]) if key in section else '...'}" for key in keys)
    return (
        f"--set {overrides[path]}: {name} must have the keys {', '.join(member.model_fields)}. "
        f"Received: it {' and '.join(what)}. Write all of it: --set '{name}={{{whole}}}'"
    )


def _culprit(error: Mapping[str, Any], path: Keys, overrides: dict[tuple[str, ...], str]) -> tuple[str, ...] | None:
    """Returns the override that made the mistake, or None if the mistake is in the file."""
    near = [key for key in overrides if path[: len(key)] == key]
    if error["type"] not in ("missing", "union_tag_not_found"):
        near += [key for key in overrides if key[: len(path)] == path]
    if error["type"] == "value_error":
        # The message of a rule for a section names the keys. An override of the whole section may always be the cause.
        near = [key for key in near if path[: len(key)] == key or key[-1] in str(error["ctx"]["error"])]
    return near[-1] if near else None


def _maker(path: Keys, overrides: dict[tuple[str, ...], str], raw: Any) -> tuple[str, ...] | None:
    """Returns the override that created the section of a key, if all keys of the section are from overrides."""
    for name in path[:-1]:
        raw = raw.get(name, {}) if isinstance(raw, Mapping) else {}
    made = [key for key in overrides if len(key) >= len(path) > 1 and key[: len(path) - 1] == path[:-1]]
    names = {key[len(path) - 1] for key in made}
    return made[0] if made and isinstance(raw, Mapping) and set(raw) <= names else None


def _in_file(source: str, path: Keys, lines: dict[Keys, int]) -> str:
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return source if line is None else f"{source}:{line}"
