import pytest

from ikelos.layers import LSTMTranslationModel, TransformerTranslationModel
from ikelos.pipelines.text import translation_model
from ikelos.pipelines.text.model_sections import TranslationLSTM, TranslationTransformer

SIZES = {"num_layers": 1, "size": 8, "num_heads": 2, "dropout": 0.1}


@pytest.mark.parametrize(
    ("settings", "model_class"),
    [
        (TranslationTransformer(architecture="transformer", hidden_size=12, **SIZES), TransformerTranslationModel),
        (TranslationLSTM(architecture="lstm", **SIZES), LSTMTranslationModel),
    ],
)
def test_the_architecture_decides_the_model(settings, model_class):
    model = translation_model.build(settings, 9, "mine")
    assert type(model) is model_class
    assert model.built
    assert (model.name, model.get_config()["size"], model.get_config()["vocabulary_size"]) == ("mine", 8, 9)
