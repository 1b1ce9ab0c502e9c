"""A small task with two recipes, so that what is said of recipes is tested apart from any real task."""

import textwrap

import pytest

from ikelos.pipelines import recipe

TOY_CONFIG = """
from typing import Annotated, Literal

from pydantic import Field

from ikelos.pipelines.config import Export, Section, Training


class Data(Section):
    source: str
    held_out: tuple[str, ...]


class Recurrent(Section):
    kind: Literal["recurrent"]
    units: Annotated[int, Field(gt=0)]


class Attentive(Section):
    kind: Literal["attentive"]
    heads: Annotated[int, Field(gt=0)]


class Config(Section):
    data: Data
    model: Annotated[Recurrent | Attentive, Field(discriminator="kind")]
    training: Training
    export: Export
"""

TOY_RECIPE = """\
# ikelos run toy
task: greeting
description: Greets; one second; 0.5 nats per greeting.

data:
  source: words
  held_out: [macbeth, hamlet]

model:
  kind: recurrent
  units: 8

training:
  steps: 100
  batch_size: 4
  seed: 0
  steps_per_epoch: 50
  optimizer: adamw
  learning_rate: 3e-4
  warmup_steps: 10
  final_learning_rate_ratio: 0.1
  weight_decay: 1e-1
  beta_2: 0.99
  clip_norm: 1.0
  ema_momentum: 0
  early_stop_patience: 0
  checkpoint_every: 50
  deterministic: true
  jit_compile: false
  profile_steps: null

export:
  enabled: true
"""


@pytest.fixture(scope="session")
def _toy_package(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    task = root / "toy_tasks" / "greeting"
    task.mkdir(parents=True)
    (root / "toy_tasks" / "__init__.py").write_text("")
    (task / "__init__.py").write_text("")
    (task / "config.py").write_text(textwrap.dedent(TOY_CONFIG))
    return root


@pytest.fixture
def toy(_toy_package, tmp_path, monkeypatch):
    """The folder of the toy recipes (`toy`, `toy_fast`), which stands for the packaged ones during a test."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "toy.yaml").write_text(TOY_RECIPE)
    (folder / "toy_fast.yaml").write_text(TOY_RECIPE.replace("steps: 100", "steps: 5"))
    monkeypatch.syspath_prepend(_toy_package)
    monkeypatch.setattr(recipe, "TASKS", "toy_tasks")
    monkeypatch.setattr(recipe, "RECIPES", folder)
    return folder
