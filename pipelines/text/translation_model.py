"""Translation models from their recipe sections."""

import keras

from ikelos.layers import LSTMTranslationModel, TransformerTranslationModel
from ikelos.pipelines.text.model_sections import TranslationLSTM, TranslationTransformer
from ikelos.pipelines.text.vocabulary.special import PAD


def build(settings: TranslationTransformer | TranslationLSTM, vocabulary_size: int, name: str) -> keras.Model:
    """Returns an untrained translation model, built."""
    is_transformer = isinstance(settings, TranslationTransformer)
    model_class = TransformerTranslationModel if is_transformer else LSTMTranslationModel
    model = model_class(vocabulary_size, **settings.model_dump(exclude={"architecture"}), padding_id=PAD, name=name)
    model.build()
    return model
