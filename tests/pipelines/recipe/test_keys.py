from typing import Annotated, Literal

import pytest
from pydantic import Field

from ikelos.pipelines import recipe
from ikelos.pipelines.recipe.keys import attributes, keys
from ikelos.pipelines.recipe.sections import Fraction, Positive, Section


class Item(Section):
    """An item.

    Attributes:
        name: Of it.
    """

    name: str


class Round(Section):
    """A round one.

    Attributes:
        shape: `round`.
        radius: In metres,
            from the middle.
    """

    shape: Literal["round"]
    radius: Fraction


class Square(Section):
    """One with corners. It has four.

    Attributes:
        shape: `square`.
        corners: Where they are.
        hint: May be left out.
    """

    shape: Literal["square"]
    corners: tuple[int, float, Literal[1, 3]]
    hint: Annotated[int, Field(ge=2, lt=9)] | None = None


class Base(Section):
    """A base.

    Attributes:
        on: Whether it is on.
        items: Some.

    More words: of no attribute.
    """

    on: bool
    items: tuple[Item, ...]


class Whole(Base):
    """A whole.

    Attributes:
        on: As of the base, and more.
        thing: Either.
        many: Numbers.
    """

    thing: Annotated[Round | Square, Field(discriminator="shape")]
    many: tuple[Positive, ...] | None
    item: Item


def test_sections_unions_lists_and_types_are_told():
    found = [(key.name, key.kind, key.meaning, key.alternative) for key in keys(Whole)[3:]]
    assert found == [
        ("on", "true or false", "As of the base, and more.", ""),
        ("items", "list of sections", "Some.", ""),
        ("items[].name", "text", "Of it.", ""),
        ("thing", "section", "Either.", ""),
        ("thing.shape", "round | square", "`round`: A round one. `square`: One with corners. It has four.", ""),
        ("thing.radius", "number >= 0 and <= 1", "In metres, from the middle.", "thing.shape=round"),
        ("thing.corners", "[integer, number, 1 | 3]", "Where they are.", "thing.shape=square"),
        ("thing.hint", "integer >= 2 and < 9 or null", "May be left out.", "thing.shape=square"),
        ("many", "list of integer > 0 or null", "Numbers.", ""),
        ("item", "section", "An item.", ""),
        ("item.name", "text", "Of it.", ""),
    ]
    assert [key.name for key in keys(Whole) if key.section] == ["items", "thing", "item"]


def test_a_recipe_has_a_head():
    assert [(key.name, key.kind) for key in keys(Whole)[:3]] == [
        ("task", "text"),
        ("description", "text"),
        ("from", "text"),
    ]


def test_what_a_docstring_says_of_attributes():
    assert attributes(Whole) == {
        "on": "As of the base, and more.",
        "items": "Some.",
        "thing": "Either.",
        "many": "Numbers.",
    }


@pytest.mark.parametrize("name", recipe.names())
def test_every_key_of_every_recipe_has_a_meaning(name):
    loaded = recipe.load(name)
    found = {key.name: key for key in keys(type(loaded.config))}
    assert [key.name for key in found.values() if not key.meaning.endswith(".")] == []
    assert [key for key, _ in recipe.leaves(recipe.plain(loaded)) if key not in found] == []
    # These are the bounds that pydantic records.
    schema = type(loaded.config).model_json_schema()
    fields = {field for section in (schema, *schema["$defs"].values()) for field in section["properties"]}
    assert {key.rpartition(".")[2] for key in found} == fields | {"task", "description", "from"}
