import keras
import numpy as np
import pytest

from ikelos.pipelines.image import vae
from ikelos.pipelines.image.config import VAE

SHAPE = (8, 8, 1)
PRIORS = {
    "normal": {"kind": "normal"},
    "vamp": {"kind": "vamp", "num_components": 5},
    "flow": {"kind": "flow", "num_couplings": 2, "hidden_units": (4,)},
}


@pytest.fixture(scope="session")
def bars(store_of):
    """Returns a store of thirty images of horizontal bars (class 0) and vertical bars (class 1)."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, [30, 8, 8, 1]).astype(np.uint8)
    labels = np.arange(30) % 2
    for index, image in enumerate(pixels):
        (image if labels[index] == 0 else image.transpose(1, 0, 2))[index % 8] = 230
    return store_of({"image": pixels, "label": labels}, [f"bar {i}" for i in range(30)])


@pytest.fixture(scope="session")
def settings():
    """Returns the settings of a tiny VAE, with changes."""

    def make(prior="flow", **changes):
        sizes = {"latent_size": 3, "width": 2, "num_blocks": 1, "hidden_size": 8, "dropout": 0.1, "conditional": False}
        return VAE(**sizes | {"prior": PRIORS[prior], "num_samples": 1, "free_bits": 0.0} | changes)

    return make


@pytest.fixture(scope="session")
def models(settings):
    """Returns the tiny VAE without classes, and the conditional one."""
    keras.utils.set_random_seed(0)
    return {count: vae.build(settings(), SHAPE, count) for count in (0, 2)}
