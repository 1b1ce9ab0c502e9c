import pytest

from ikelos.pipelines.evaluation import feature_network


@pytest.fixture
def tiny(shrunk, monkeypatch):
    """Returns the tiny recipe of image generation with a GAN, with a feature network of few training steps."""
    changes = {"steps": 4, "steps_per_epoch": 4, "batch_size": 16, "checkpoint_every": 4}
    settings = feature_network.TRAINING.model_copy(update=changes)
    monkeypatch.setattr(feature_network, "TRAINING", settings)
    return lambda *overrides: shrunk("image_generation_gan", *overrides)
