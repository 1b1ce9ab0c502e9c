"""Language models from their recipe sections."""

import keras

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.pipelines.console import Progress, say
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.text.config import LSTM, Ngrams, Transformer


def build(settings: Transformer | LSTM, vocabulary_size: int, name: str) -> keras.Model:
    """Returns an untrained language model, built; its n-grams are not counted yet."""
    arguments = settings.model_dump(exclude={"architecture", "ngrams"})
    if found := ngrams(settings):
        arguments |= found.model_dump(include={"max_ngrams", "longest_match"}) | {"ngram_order": found.order}
    model_class = TransformerLanguageModel if isinstance(settings, Transformer) else LSTMLanguageModel
    model = model_class(vocabulary_size, **arguments, name=name)
    model.build((None, settings.context))
    return model


def ngrams(settings: Transformer | LSTM) -> Ngrams | None:
    """Returns the section of a model's n-grams; None for a model without n-grams."""
    return settings.ngrams if isinstance(settings, Transformer) else None


def count(settings: Transformer | LSTM, model: keras.Model, documents: Ragged) -> None:
    """Counts the n-grams of the training text, if the model has any, and prints a line if some had to be dropped."""
    found = ngrams(settings)
    if found is None:
        return
    with Progress("counting n-grams"):
        longest = model.adapt(documents.head(found.max_tokens))
    if longest < found.order:
        say(f"n-grams of more than {longest} tokens are dropped: model.ngrams.max_ngrams leaves no room for them")
