"""List of all keys that a recipe may have, with their meanings from the sections' docstrings."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from ikelos.pipelines.recipe.sections import LARGEST

ITEM = "[]"
"""Suffix of the name of a list whose items have keys."""

HEAD = {
    "task": "Name of the task that the recipe is for, a package in `ikelos.pipelines.tasks`.",
    "description": "One line: what the recipe does, how long it takes, and the metric to expect. May be left out.",
    "from": "Folder of a finished run with whose weights and preprocessing this run begins. May be left out.",
}
_TYPES = {int: "integer", float: "number", bool: "true or false", str: "text"}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes:
        name: Dotted name; for keys of a list's items, the list's name is followed by `[]`.
        kind: Short description of the type and range of its value.
        meaning: One or two sentences on its meaning.
        alternative: The choice that it belongs to, such as `model.architecture=lstm`; empty if it always applies.
        section: Whether its value is a section.
        owner: Class of the section that the key is in, which tells apart sections of one name; None for keys of `HEAD`.
    """

    name: str
    kind: str
    meaning: str
    alternative: str
    section: bool
    owner: type[pydantic.BaseModel] | None

    @property
    def top(self) -> str:
        """The top-level section that contains the key, or the key itself."""
        return self.name.partition(".")[0]


def keys(config: type[pydantic.BaseModel]) -> list[Key]:
    """Returns the keys of recipes with this config class, in the order of the fields, sections before their keys."""
    head = [Key(name, "text", meaning, "", section=False, owner=None) for name, meaning in HEAD.items()]
    return head + list(_keys(config, "", ""))


def _keys(section: type[pydantic.BaseModel], prefix: str, alternative: str) -> Iterator[Key]:
    meanings = attributes(section)
    for field_name, field in section.model_fields.items():
        name = f"{prefix}{field_name}"
        sections = list(models(field.annotation))
        # If only one section is possible, the docstring of this section serves as the meaning.
        meaning = meanings.get(field_name) or (_summary(sections[0]) if len(sections) == 1 else "")
        yield Key(name, kind(field), meaning, alternative, section=bool(sections), owner=section)
        inside = name + (ITEM if _is_list(field.annotation) else "") + "."
        if not field.discriminator:
            for member in sections:
                yield from _keys(member, inside, alternative)
            continue
        members = alternatives(field)
        chooser = f"{inside}{field.discriminator}"
        words = " ".join(f"`{value}`: {_summary(member)}" for value, member in members.items())
        yield Key(chooser, " | ".join(members), words, alternative, section=False, owner=None)
        for value, member in members.items():
            for key in _keys(member, inside, f"{chooser}={value}"):
                if key.name != chooser:
                    yield key


def section_classes(config: pydantic.BaseModel, prefix: str = "") -> dict[str, type[pydantic.BaseModel]]:
    """Returns the class of each section of a config by its dotted key; the key of the config itself is empty."""
    found = {prefix: type(config)}
    for name, value in config:
        if isinstance(value, pydantic.BaseModel):
            found |= section_classes(value, f"{prefix}.{name}" if prefix else name)
    return found


def alternatives(field: FieldInfo) -> dict[str, type[pydantic.BaseModel]]:
    """Returns the section classes of a field with a discriminator, by the discriminator's value."""
    found = {}
    for member in models(field.annotation):
        [value] = typing.get_args(member.model_fields[str(field.discriminator)].annotation)
        found[value] = member
    return found


def models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """Yields the section classes that occur in a type."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models(argument)


def kind(field: FieldInfo) -> str:
    """Returns a description of a field's type: `integer > 0`, `list of text`, `packed | bucketed`."""
    return _kind(field.annotation, field.metadata)


def _kind(annotation: Any, metadata: Any = ()) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], [bound for about in arguments[1:] for bound in getattr(about, "metadata", [about])])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        kinds = dict.fromkeys("null" if argument is type(None) else _kind(argument, metadata) for argument in arguments)
        return " or ".join(kinds)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_kind(arguments[0])}".replace("list of section", "list of sections")
        return f"[{', '.join(map(_kind, arguments))}]"
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return "section"
    found = [(sign, getattr(bound, name, None)) for bound in metadata for name, sign in _BOUNDS.items()]
    bounds = [f"{sign} {value}" for sign, value in found if value not in (None, LARGEST)]
    return " ".join([_TYPES[annotation], " and ".join(bounds)]).strip()


def _is_list(annotation: Any) -> bool:
    return any(typing.get_origin(part) is tuple for part in (annotation, *typing.get_args(annotation)))


def attributes(section: type) -> dict[str, str]:
    """Returns the `Attributes:` entries in the docstrings of a class and its base classes, by attribute."""
    found: dict[str, str] = {}
    parents = [parent for parent in section.__mro__ if parent not in pydantic.BaseModel.__mro__]
    for parent in reversed(parents):
        _, _, part = inspect.cleandoc(parent.__dict__.get("__doc__") or "").partition("Attributes:\n")
        part = re.split(r"\n(?=\S)", part)[0]
        for name, words in re.findall(r"^    (\w+): ((?:.|\n(?!    \w+: ))*)", part, re.MULTILINE):
            found[name] = " ".join(words.split())
    return found


def _summary(section: type) -> str:
    """Returns the first paragraph of a class's docstring."""
    return " ".join(inspect.cleandoc(section.__doc__ or "").split("\n\n")[0].split())
