import keras
import pytest


@pytest.fixture
def tiny(shrunk):
    """The tiny recipe of image generation."""
    return lambda *overrides: shrunk("image_generation_vae", *overrides)


@pytest.fixture
def built(prepared):
    """Task, preprocessing, stores and an untrained model of the tiny recipe."""

    def build(*overrides):
        task, preprocessing, splits = prepared(*overrides)
        keras.utils.set_random_seed(0)
        (stage,) = task.stages(preprocessing)
        return task, preprocessing, splits, stage.build({})

    return build
