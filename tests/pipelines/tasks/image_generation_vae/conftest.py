import pytest


@pytest.fixture
def tiny(shrunk):
    """Returns the tiny recipe of image generation with a VAE."""
    return lambda *overrides: shrunk("image_generation_vae", *overrides)
