import pathlib
import shutil

import pytest
import yaml

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.recipe import loading

TOY = pathlib.Path(__file__).parent / "toy"

TEXT = "the cat sat on the mat. the dog sat on the log. " * 30


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder with the recipes `toy` and `toy_fast` of a toy task; both stand for the packaged ones."""
    shutil.copytree(TOY / "recipes", tmp_path / "recipes")
    monkeypatch.syspath_prepend(TOY)
    monkeypatch.setattr(loading, "TASKS", "toy_tasks")
    monkeypatch.setattr(loading, "RECIPES", tmp_path / "recipes")
    return tmp_path / "recipes"


@pytest.fixture
def tiny(tmp_path):
    """Loads the recipe of a run that takes seconds, on files of its own; takes overrides."""

    def load(*overrides):
        for split, text in (("train", TEXT), ("validation", TEXT[:500]), ("test", "the cat sat on the log. é")):
            (tmp_path / f"{split}.txt").write_text(text)
        raw = {
            "task": "language_modeling",
            "data": {
                "source": {"files": {s: [f"{tmp_path}/{s}.txt"] for s in ("train", "validation", "test")}},
                "vocabulary": {"kind": "character", "size": None},
                "batching": "packed",
                "buckets": None,
            },
            "model": {
                "architecture": "transformer",
                "context": 16,
                "num_layers": 2,
                "size": 16,
                "num_heads": 2,
                "hidden_size": 24,
                "dropout": 0.0,
                "ngram_orders": [2, 3],
                "ngram_buckets": 64,
            },
            "training": {
                "steps": 12,
                "batch_size": 8,
                "seed": 0,
                "steps_per_epoch": 6,
                "optimizer": "adamw",
                "learning_rate": 1e-2,
                "warmup_steps": 2,
                "final_learning_rate_ratio": 0.1,
                "weight_decay": 0.1,
                "beta_2": 0.99,
                "clip_norm": 1.0,
                "ema_momentum": 0.9,
                "early_stop_patience": 0,
                "checkpoint_every": 4,
                "deterministic": True,
                "jit_compile": False,
                "profile_steps": None,
            },
            "evaluation": {
                "stride": 8,
                "batch_size": 4,
                "ngram_order": 3,
                "samples": {"prompts": ["", "the "], "length": 12, "temperature": 0.8, "top_k": 0, "top_p": 0.9},
                "peers": [{"name": "nobody", "nats_per_character": 3.0, "minutes": 1.0}],
            },
            "export": {"enabled": True, "max_length": 32},
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(raw))
        return recipes.load(path, overrides)

    return load
