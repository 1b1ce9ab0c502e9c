"""A small task, with which recipes are tested independently of any real task."""

from typing import Annotated, Literal

from pydantic import Field

from ikelos.pipelines.recipe.sections import PlainTraining, Section, TaskConfig


class Data(Section):
    source: str
    held_out: tuple[str, ...]


class Recurrent(Section):
    kind: Literal["recurrent"]
    units: Annotated[int, Field(gt=0)]


class Attentive(Section):
    kind: Literal["attentive"]
    heads: Annotated[int, Field(gt=0)]


class Config(TaskConfig):
    data: Data
    model: Annotated[Recurrent | Attentive, Field(discriminator="kind")]
    training: PlainTraining
