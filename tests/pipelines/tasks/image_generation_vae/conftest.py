import pytest


@pytest.fixture
def tiny(shrunk):
    """The tiny recipe of image generation."""
    return lambda *overrides: shrunk("image_generation_vae", *overrides)
