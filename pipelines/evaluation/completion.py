"""Measures of a language model that completes texts: cost by position, copies of the training text, speed."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import by_position, copies, decoding_speed, likelihood
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.text import samples, windows
from ikelos.pipelines.text.config import Completion, Samples
from ikelos.pipelines.text.vocabulary import Vocabulary

_WINDOWS = 16


def measure(
    settings: Completion, sampling: Samples, vocabulary: Vocabulary, splits: Splits, model: keras.Model
) -> dict[str, Any]:
    """Returns the figures of a model.

    Args:
        settings: The settings of the measures.
        sampling: The settings of the texts in which copies are sought; their length is that of `settings`.
        vocabulary: Vocabulary of the model.
        splits: The data, of which `train` and `test` are used.
        model: Model with `start`, `advance` and `context`, such as `ikelos.layers.TransformerLanguageModel`.

    Returns:
        `by_position`, `copies` and `decoding_speed`: the results of the modules of these names.

    Raises:
        UserError: If the test split has fewer tokens than the longest text of `settings.decoding_speed`.
    """
    test, speed = splits["test"].ragged("tokens"), settings.decoding_speed
    if len(test.values) < speed.lengths[-1]:
        raise UserError(
            f"`evaluation.completion.decoding_speed.lengths` must be at most {len(test.values):,}, the number of test "
            f"tokens. Received: evaluation.completion.decoding_speed.lengths={list(speed.lengths)}"
        )
    dataset = windows.strided(test, model.context, model.context, _WINDOWS)
    nll = likelihood.token_nll(model, dataset, int(test.ends[-1]))
    texts = {
        "Generated": _generated(settings, sampling, vocabulary, model),
        "Test text": _parts(test.values, settings.copies.texts, settings.copies.length),
    }
    training = splits["train"].ragged("tokens").values[: settings.copies.training_tokens]
    return {
        "by_position": by_position.costs(nll, by_position.positions(test, model.context)),
        "copies": copies.measure(texts, training, settings.copies.ngrams),
        "decoding_speed": decoding_speed.measure(model, test.values, speed.lengths, speed.tokens, speed.repeats),
    }


def _generated(settings: Completion, sampling: Samples, vocabulary: Vocabulary, model: keras.Model) -> list[np.ndarray]:
    """Returns the tokens of generated texts."""
    longer = sampling.model_copy(update={"length": settings.copies.length})
    return [vocabulary.tokens(text) for text in samples.write(longer, [""] * settings.copies.texts, vocabulary, model)]


def _parts(tokens: np.ndarray, count: int, length: int) -> list[np.ndarray]:
    """Returns parts of some tokens, as many and as long as the generated texts, at equal distances."""
    starts = np.linspace(0, max(len(tokens) - length, 0), count).astype(np.int64)
    return [np.asarray(tokens[start : start + length]) for start in starts]


def sections(found: Mapping[str, Any]) -> list[Section]:
    """Returns the report's sections with the results of `measure`; an empty list if there are none."""
    if not found:
        return []
    return [
        *by_position.section(found["by_position"]),
        *copies.section(found["copies"]),
        *decoding_speed.section(found["decoding_speed"]),
    ]
