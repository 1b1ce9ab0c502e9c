import keras
import pytest

from ikelos.layers import TransformerLanguageModel
from ikelos.pipelines.text import vocabulary

CONTEXT = 8


@pytest.fixture(scope="session")
def words():
    """Returns a vocabulary of ten letters and the space."""
    return vocabulary.fit("character", ["abcdefghij "], None)


@pytest.fixture(scope="session")
def model(words):
    """Returns an untrained language model with this vocabulary."""
    keras.utils.set_random_seed(1)
    model = TransformerLanguageModel(words.size, CONTEXT, num_layers=1, size=8, num_heads=2, hidden_size=8)
    model.build((None, CONTEXT))
    return model
