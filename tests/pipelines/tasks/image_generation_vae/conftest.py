import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from ikelos.pipelines import recipe as recipes

NUMBERS = {"train": 24, "validation": 6, "test": 6}


@pytest.fixture
def tiny(tmp_path):
    """Loads the recipe of a run that takes seconds, on bars that lie or stand, 8x8; takes overrides."""
    rng = np.random.default_rng(0)
    for split, number in NUMBERS.items():
        for label in ("lying", "standing"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for index in range(number):
                image = rng.integers(0, 60, [8, 8, 1]).astype(np.uint8)
                image[index % 8] = 230
                image = image if label == "lying" else image.transpose(1, 0, 2)
                (folder / f"{index:02}.png").write_bytes(tf.io.encode_png(image).numpy())

    def load(*overrides):
        raw = {
            "task": "image_generation_vae",
            "data": {
                "source": {"files": {split: [f"{tmp_path}/{split}/*/*.png"] for split in NUMBERS}},
                "shape": [8, 8, 1],
                "augmentation": {"rotation": 3.0, "zoom": 0.02, "shear": 0.0, "shift": 0.2},
            },
            "model": {
                "latent_size": 3,
                "width": 2,
                "num_blocks": 1,
                "hidden_size": 8,
                "dropout": 0.1,
                "prior": {"kind": "flow", "num_couplings": 2, "hidden_units": [4]},
                "conditional": False,
                "num_samples": 1,
                "free_bits": 0.0,
            },
            "training": {
                "steps": 6,
                "batch_size": 8,
                "seed": 0,
                "steps_per_epoch": 3,
                "optimizer": "adamw",
                "learning_rate": 1e-2,
                "warmup_steps": 2,
                "final_learning_rate_ratio": 0.1,
                "weight_decay": 0.1,
                "beta_2": 0.99,
                "clip_norm": 100.0,
                "ema_momentum": 0.9,
                "early_stop_patience": 0,
                "checkpoint_every": 4,
                "deterministic": True,
                "jit_compile": False,
                "profile_steps": None,
            },
            "evaluation": {
                "num_samples": 5,
                "samples_at_once": 2,
                "batch_size": 5,
                "mixture_components": 2,
                "pictures": 3,
                "peers": [{"name": "nobody", "nats_per_image": 30.0}],
            },
            "export": {"enabled": True},
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(raw))
        return recipes.load(path, overrides)

    return load


@pytest.fixture
def prepared(tiny, tmp_path):
    """Config, assets and an untrained model."""
    from ikelos.pipelines.tasks.image_generation_vae import model, task

    def prepare(*overrides):
        config = tiny(*overrides).config
        folder = tmp_path / "assets"
        folder.mkdir(exist_ok=True)
        task.fit_assets(config, folder)
        keras.utils.set_random_seed(0)
        assets = task.load_assets(config, folder)
        return config, assets, model.build(config, len(assets.class_names), assets.splits["train"].pixels)

    return prepare
