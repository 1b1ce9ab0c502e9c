"""Language modelling, from documents to a served model. Each function can be read alone."""

import dataclasses
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.evaluation import likelihood, ngram
from ikelos.pipelines.tasks.language_modeling import page
from ikelos.pipelines.tasks.language_modeling.config import Config
from ikelos.pipelines.text import documents, vocabulary, windows
from ikelos.pipelines.text.decoding import continue_text, prompt_tokens
from ikelos.pipelines.text.scoring import log_likelihood
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import SPECIAL
from ikelos.pipelines.training.stage import Stage
from ikelos.serving import Signature

STAGE = "language_model"
_SPLITS: tuple[documents.Split, ...] = ("train", "validation", "test")
_TOP_TOKENS = 10
_PASSAGE = 1500
"""Tokens of held-out text that the report shades by what they cost."""
# One for all calls: samples are written each epoch, and tracing the loop takes longer than running it.
_continue_text = tf.function(continue_text)


@dataclasses.dataclass(frozen=True)
class Split:
    """The documents of one split.

    Attributes:
        ids: Name of each document.
        characters: Number of characters of each.
        tokens: int32 `[n]` for each, ending with the end-of-text token.
    """

    ids: list[str]
    characters: list[int]
    tokens: list[np.ndarray]


class Assets(tf.Module):
    """What was learned from the training documents before the model, and the documents in its terms.

    A module, so that an export finds the vocabulary's tables.

    Attributes:
        vocabulary: Of `ikelos.pipelines.text.vocabulary`.
        splits: `train`, `validation` and `test`.
    """

    def __init__(self, vocabulary: Vocabulary, splits: Mapping[str, Split]):
        super().__init__(name="assets")
        self.vocabulary = vocabulary
        # A plain dict would be wrapped and searched for tables.
        self.splits = types.MappingProxyType(dict(splits))


def fit_assets(config: Config, folder: Path) -> None:
    """Fits the vocabulary on the training split and writes it to `folder`, with a SHA-256 of each split."""
    found = {name: list(documents.documents(config.data.source, name)) for name in _SPLITS}
    texts = [text for _, text in found["train"]]
    fitted = vocabulary.fit(config.data.vocabulary.kind, texts, config.data.vocabulary.size)
    fitted.save(folder)
    fingerprint.write(folder, _sums(found))


def load_assets(config: Config, folder: Path) -> Assets:
    """Reads what `fit_assets` wrote, and all splits.

    Raises:
        UserError: If a split is no longer what it was then.
    """
    fitted = vocabulary.load(folder)
    found = {name: list(documents.documents(config.data.source, name)) for name in _SPLITS}
    fingerprint.check(folder, _sums(found), "documents")
    splits: dict[str, Split] = {}
    for name, split in found.items():
        ids, texts = zip(*split, strict=True)
        splits[name] = Split(
            ids=list(ids),
            characters=[len(text) for text in texts],
            tokens=[windows.joined([tokens]) for tokens in vocabulary.encode_documents(fitted, texts)],
        )
    return Assets(fitted, splits)


def build_model(config: Config, assets: Assets) -> keras.Model:
    """The untrained model."""
    settings = config.model.model_dump(exclude={"architecture"})
    classes = {"transformer": TransformerLanguageModel, "lstm": LSTMLanguageModel}
    model = classes[config.model.architecture](assets.vocabulary.size, **settings, name=STAGE)
    model.build((None, config.model.context))
    return model


def stages(config: Config, assets: Assets) -> list[Stage]:
    """One stage: the model learns to predict the next token."""
    context, batch_size, seed = config.model.context, config.training.batch_size, config.training.seed
    train = assets.splits["train"].tokens
    buckets = config.data.buckets
    if buckets is None:
        stream = np.concatenate(train)

        def batches(start_step):
            return windows.packed(stream, context, batch_size, seed, start_step)

        tokens_per_step = context * batch_size
    else:
        rows = windows.pieces(train, context)

        def batches(start_step):
            return windows.bucketed(rows, buckets, batch_size, seed, start_step)

        tokens_per_step = round(float(np.mean([len(row) for row in rows])) * batch_size)
    return [
        Stage(
            name=STAGE,
            build=lambda: build_model(config, assets),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
            train=batches,
            # Windows that don't overlap: half the work, and as good for comparing epochs with each other.
            validation=windows.strided(
                assets.splits["validation"].tokens, context, context, config.evaluation.batch_size
            ),
            unit="tokens",
            units_per_step=tokens_per_step,
            samples=lambda model: write_samples(config, assets, model),
        )
    ]


def evaluate(config: Config, assets: Assets, models: dict[str, keras.Model]) -> dict[str, Any]:
    """Likelihood of the test split, whole and by document."""
    split = assets.splits["test"]
    nll = token_nll(config, models[STAGE], split.tokens)
    return {
        **_figures(split, nll, assets.vocabulary.unknown_cost),
        "parameters": models[STAGE].count_params(),
        "vocabulary_size": assets.vocabulary.size,
        "context": config.model.context,
        "stride": config.evaluation.stride,
    }


def baselines(config: Config, assets: Assets) -> dict[str, Any]:
    """The same figures of what one would do without a neural network: an interpolated n-gram model."""
    start = time.monotonic()
    model = ngram.fit(assets.splits["train"].tokens, config.evaluation.ngram_order, assets.vocabulary.size)
    order, _ = ngram.best_order(model, assets.splits["validation"].tokens)
    minutes = (time.monotonic() - start) / 60
    chosen = model.truncated(order)
    split = assets.splits["test"]
    nll = [-chosen.log_probabilities(tokens) for tokens in split.tokens]
    figures = _figures(split, nll, assets.vocabulary.unknown_cost)
    return {f"Interpolated Kneser-Ney {order}-gram": {**figures, "order": order, "minutes": minutes}}


def headline(results: dict[str, Any]) -> str:
    """What came out, in a line."""
    model = results["model"]
    baselines = [f"{name}: {figures['nats_per_character']:.3f}" for name, figures in results["baselines"].items()]
    return "; ".join(
        [
            f"{model['nats_per_character']:.3f} nats per character ({model['bits_per_character']:.3f} bits) "
            f"on {model['characters']:,} held-out characters",
            *baselines,
        ]
    )


def signatures(config: Config, assets: Assets, models: dict[str, keras.Model]) -> list[Signature]:
    """What the server offers: the likelihood of a text and what follows it, and writing on from a prompt."""
    model, words = models[STAGE], assets.vocabulary
    context, stride, max_length = config.model.context, config.evaluation.stride, config.export.max_length
    top = min(_TOP_TOKENS, words.size - SPECIAL)

    def score(text):
        tokens, lengths = prompt_tokens(words, text, context)
        logits, _ = model.start(tokens, lengths, tf.shape(tokens)[1])
        following = tf.nn.log_softmax(logits)
        # Special tokens are no text: they are in the full vector alone.
        best, ids = tf.math.top_k(following[:, SPECIAL:], top)
        names = words.decode(tf.reshape(ids + SPECIAL, [-1, 1]))
        return {
            "log_likelihood": log_likelihood(model, words.encode(text), context, stride, words.unknown_cost),
            "next_token_log_probabilities": following,
            "top_tokens": tf.reshape(names, [-1, top]),
            "top_log_probabilities": best,
        }

    def write(prompt, length, temperature, top_k, top_p, seed):
        text = continue_text(model, words, max_length, prompt, length, temperature, top_k, top_p, seed)
        return {"text": text}

    length = min(80, max_length)
    return [
        Signature(
            name="serving_default",
            function=score,
            inputs={"text": tf.TensorSpec([None], tf.string)},
            example={"text": ["To be, or not to be, that is the ", ""]},
            doc="Log-likelihood of each text in nats, and log-probabilities of the token that follows it.",
        ),
        Signature(
            name="generate",
            function=write,
            inputs={
                "prompt": tf.TensorSpec([None], tf.string),
                "length": tf.TensorSpec([None], tf.int32),
                "temperature": tf.TensorSpec([None], tf.float32),
                "top_k": tf.TensorSpec([None], tf.int32),
                "top_p": tf.TensorSpec([None], tf.float32),
                "seed": tf.TensorSpec([None], tf.int64),
            },
            example={
                "prompt": ["To be, or not", ""],
                "length": [length, length // 2],
                "temperature": [0.8, 0.0],
                "top_k": [0, 0],
                "top_p": [0.95, 1.0],
                "seed": [0, 1],
            },
            doc=f"Up to `length` (at most {max_length}) new tokens behind each prompt, without the prompt.",
        ),
    ]


def report(
    config: Config,
    assets: Assets,
    models: dict[str, keras.Model],
    results: dict[str, Any],
    histories: dict[str, list[dict[str, Any]]],
) -> tuple[str, dict[str, Any], list]:
    """What a person looks at: see `ikelos.pipelines.tasks.language_modeling.page`."""
    model = models[STAGE]
    passage = assets.splits["test"].tokens[0][:_PASSAGE]
    return page.build(
        config,
        results,
        histories[STAGE],
        passage=assets.vocabulary.decode(tf.reshape(passage, [-1, 1])).numpy(),
        passage_nats=token_nll(config, model, [passage])[0],
        passage_of=assets.splits["test"].ids[0],
        samples=write_samples(config, assets, model),
    )


def write_samples(config: Config, assets: Assets, model: keras.Model) -> list[str]:
    """Each of the recipe's prompts with what the model writes behind it; the seed is the prompt's place."""
    samples = config.evaluation.samples
    count = len(samples.prompts)
    if not count:
        return []
    text = _continue_text(
        model,
        assets.vocabulary,
        samples.length,
        tf.constant(samples.prompts),
        tf.fill([count], samples.length),
        tf.fill([count], samples.temperature),
        tf.fill([count], samples.top_k),
        tf.fill([count], samples.top_p),
        tf.range(count, dtype=tf.int64),
    )
    return [prompt + new.decode() for prompt, new in zip(samples.prompts, text.numpy(), strict=True)]


def token_nll(config: Config, model: keras.Model, tokens: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Cost of every token of some documents in nats, float64 `[n]` for each."""
    return likelihood.token_nll(model, _windows(config, tokens), [len(document) for document in tokens])


def _windows(config: Config, tokens: Sequence[np.ndarray]) -> tf.data.Dataset:
    return windows.strided(tokens, config.model.context, config.evaluation.stride, config.evaluation.batch_size)


def _sums(splits: Mapping[documents.Split, Sequence[tuple[str, str]]]) -> dict[str, str]:
    """Of each split's ids and texts."""
    return {
        # A file's name need not be UTF-8.
        name: fingerprint.sha256(part.encode("utf-8", "surrogateescape") for document in split for part in document)
        for name, split in splits.items()
    }


def _figures(split: Split, nll: Sequence[np.ndarray], unknown_cost: float) -> dict[str, Any]:
    parts = likelihood.likelihoods(nll, split.tokens, split.characters, unknown_cost)
    whole = likelihood.together(parts).figures()
    return {**whole, "documents": {name: part.figures() for name, part in zip(split.ids, parts, strict=True)}}
