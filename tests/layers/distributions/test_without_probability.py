"""Where TensorFlow Probability is not installed."""

import sys

import numpy as np
import pytest

from ikelos import layers
from ikelos.layers import distributions

MADE_WITHOUT = {
    "KLDivergence",
    "NegativeLogLikelihood",
    "VampPrior",
    "LearnedPrior",
    "VectorQuantizer",
    "Support",
    "event_size",
    "scale_of",
    "Mixture",
    "kl_divergence",
}


@pytest.fixture
def _absent(monkeypatch):
    # What Python does with a module that is None is what it does with one that it does not find.
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)


ARGUMENTS = {
    "Categorical": [3],
    "DistributionLayer": [2, 4],
    "MixtureDiscretizedLogistic": [2],
    "MixtureNormal": [2],
    "MultivariateNormalDiag": [2],
    "MultivariateNormalTriL": [2],
    "OneHotCategorical": [2],
    "Prior": [2],
    "RealNVPPrior": [2],
    "StandardNormalPrior": [2],
}


@pytest.mark.usefixtures("_absent")
@pytest.mark.parametrize("name", sorted(set(distributions.__all__) - MADE_WITHOUT))
def test_the_error_names_the_extra(name):
    with pytest.raises(ImportError, match=r"pip install '\.\[probability\]'"):
        getattr(distributions, name)(*ARGUMENTS.get(name, []))


@pytest.mark.usefixtures("_absent")
def test_the_vector_quantizer_works():
    assert layers.VectorQuantizer(4, 2)(np.ones([3, 2])).shape == (3, 2)


@pytest.mark.usefixtures("_absent")
def test_sizes_of_parameters_are_known():
    assert layers.Normal.params_size((2, 3)) == 12
