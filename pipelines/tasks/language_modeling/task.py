"""Language modelling, from documents to a served model."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines import task
from ikelos.pipelines.console import counted
from ikelos.pipelines.data import known
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.store import Ragged, Splits, Store
from ikelos.pipelines.evaluation import completion, likelihood, ngram
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Peer
from ikelos.pipelines.report.sections import Section, Surprisal
from ikelos.pipelines.tasks.language_modeling.config import Config
from ikelos.pipelines.text import language_model, samples, signatures, stepwise, windows
from ikelos.pipelines.text.encoding import TextPreparation, TextPreprocessing
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Signature

STAGE = "language_model"
_PASSAGE = 1500
"""Tokens of held-out text that the report shades by their cost."""


class Task(task.Task[Config, TextPreprocessing]):
    """Language modelling: a model learns to predict the next token."""

    metrics = (
        Metric("nats_per_character", "nats per character"),
        Metric("bits_per_character", "bits per character"),
    )
    counted = "characters"
    breakdown = task.Breakdown("documents", "document")
    is_mean = True

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Language model: {self.config.data.source.title('texts')}"

    @property
    def model_name(self) -> str:
        """Name of the model in comparisons with baselines and peers."""
        model = self.config.model
        mixed = ", with n-grams" if language_model.ngrams(model) else ""
        return f"Ikelos {model.architecture}, {model.num_layers} layers, {model.size} wide{mixed}"

    @property
    def known_peers(self) -> Sequence[Peer]:
        """Published models on this data set. Their figures are per character, so they hold for any vocabulary."""
        return known.of(self.config.data.source).peers.get(self.metrics[0].name, ())

    def preparation(self) -> TextPreparation:
        """Returns the preparation of the documents as tokens."""
        return TextPreparation(self.config.data.source, self.config.data.vocabulary)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage]:
        """Returns the one stage, in which the model learns to predict the next token."""
        return [
            language_model.stage(
                STAGE,
                self.config.training,
                lambda _: language_model.build(self.config.model, preprocessing.vocabulary.size, STAGE),
                lambda splits, _: self._feed(preprocessing, splits),
            )
        ]

    def _feed(self, preprocessing: TextPreprocessing, splits: Splits) -> Feed:
        config = self.config
        train, validation = (splits[split].ragged("tokens") for split in ("train", "validation"))
        windows_feed = language_model.feed(
            train, validation, config.model.context, config.training, config.evaluation.batch_size, config.data.buckets
        )
        return dataclasses.replace(
            windows_feed,
            samples=lambda model: self._write_samples(preprocessing, model),
            adapt=lambda model: language_model.count(config.model, model, train),
        )

    def evaluate(self, preprocessing: TextPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns the likelihood of the test split, as a whole and by document, and what else the recipe asks for."""
        test, model = splits["test"], models[STAGE]
        return {
            **_figures(preprocessing, test, self.token_nll(model, test.ragged("tokens"))),
            "vocabulary_size": preprocessing.vocabulary.size,
            "context": self.config.model.context,
            "stride": self.config.evaluation.stride,
            "completion": self._completion(preprocessing, splits, model),
        }

    def _completion(self, preprocessing: TextPreprocessing, splits: Splits, model: keras.Model) -> dict[str, Any]:
        evaluation = self.config.evaluation
        if evaluation.completion is None:
            return {}
        return completion.measure(evaluation.completion, evaluation.samples, preprocessing.vocabulary, splits, model)

    def by_example(self, figures: task.Figures) -> task.ByExample:
        """Returns the nats and the characters of each document."""
        documents = figures["documents"].values()
        nats, characters = ([document[name] for document in documents] for name in ("nats", "characters"))
        return task.ByExample(np.array(nats, np.float64), np.array(characters, np.float64))

    def baselines(self, preprocessing: TextPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of an interpolated n-gram model of the order that is best on the validation split."""
        start = time.monotonic()
        longest, most = self.config.evaluation.ngram_order, self.config.evaluation.ngram_tokens
        train, validation, test = (splits[split].ragged("tokens") for split in SPLITS)
        model = ngram.fit(train.head(most), longest, preprocessing.vocabulary.size)
        order, _ = ngram.best_order(model, validation.head(most))
        minutes = (time.monotonic() - start) / 60
        chosen = model.truncated(order)
        documents = counted(test, "the n-gram model's likelihood", "documents", len(test))
        nll = (-chosen.log_probabilities(tokens) for tokens in documents)
        figures = _figures(preprocessing, splits["test"], nll)
        of = f", first {most:,} tokens" if len(train.values) > most else ""
        return {f"Interpolated Kneser-Ney {order}-gram{of}": {**figures, "order": order, "minutes": minutes}}

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures that score a text, that continue a prompt, and that do so step by step."""
        words, model, export = preprocessing.vocabulary, models[STAGE], self.config.export
        longest, most, example = export.max_length, export.max_bytes, preprocessing.example
        stops = (export.max_stops, export.max_stop_bytes)
        return [
            signatures.score("serving_default", words, model, self.config.evaluation.stride, most, example),
            signatures.generate("generate", words, model, longest, most, *stops, example),
            *(stepwise.signatures(words, model, longest, most, example) if export.stepwise else []),
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns paragraphs that explain the windows of the model and the fit of the n-gram model."""
        figures = results["model"]
        return [
            f"Mean cost of a character of the test text ({figures['characters']:,} characters). The model reads "
            f"windows of {figures['context']} tokens, of which {figures['stride']} are counted, so that each token is "
            f"predicted once, from at least {figures['context'] - figures['stride']} tokens before it if the text has "
            "as many. The n-gram model was fitted on the same training text; its order was chosen on the validation "
            "text."
            + (" The peers' figures and minutes were measured elsewhere." if self.peers else "")
            + (f" {unknown:,} tokens were not in the vocabulary." if (unknown := figures["unknown_tokens"]) else ""),
        ]

    def details(self, finished: task.Finished[TextPreprocessing]) -> list[Section]:
        """Returns the sections with samples, a passage shaded by the cost of its tokens, and the other measures."""
        model, test = finished.models[STAGE], finished.splits["test"]
        prompts = self._prompts(finished.preprocessing)
        passage = test.ragged("tokens")[0][:_PASSAGE].astype(np.int32)
        pieces = finished.preprocessing.vocabulary.decode(tf.reshape(passage, [-1, 1])).numpy()
        return [
            *samples.section(
                self.config.evaluation.samples, prompts, self._write_samples(finished.preprocessing, model)
            ),
            Surprisal(
                heading="Cost of each token",
                prose=[f"The beginning of “{test.ids[0]}”, a test text, shaded by the cost of each token."],
                pieces=[piece.decode("utf-8", "replace") for piece in pieces],
                nats=np.concatenate(list(self.token_nll(model, Ragged.of([passage])))).tolist(),
            ),
            *completion.sections(finished.results["model"]["completion"]),
        ]

    def token_nll(self, model: keras.Model, tokens: Ragged) -> Iterator[np.ndarray]:
        """Yields the cost of every token of some documents in nats, in arrays of a batch each."""
        evaluation = self.config.evaluation
        dataset = windows.strided(tokens, self.config.model.context, evaluation.stride, evaluation.batch_size)
        return likelihood.token_nll(model, dataset, int(tokens.ends[-1]))

    def _write_samples(self, preprocessing: TextPreprocessing, model: keras.Model) -> list[str]:
        prompts = self._prompts(preprocessing)
        return samples.write(self.config.evaluation.samples, prompts, preprocessing.vocabulary, model)

    def _prompts(self, preprocessing: TextPreprocessing) -> tuple[str, ...]:
        """Returns the recipe's prompts, else the data set's, else an empty one and the example of the preprocessing."""
        stated = self.config.evaluation.samples.prompts
        if stated is not None:
            return stated
        return known.of(self.config.data.source).prompts or ("", preprocessing.example)


def _figures(preprocessing: TextPreprocessing, split: Store, nll: Iterable[np.ndarray]) -> task.Figures:
    characters, cost = split.array("characters"), preprocessing.vocabulary.unknown_cost
    parts = likelihood.likelihoods(nll, split.ragged("tokens"), characters, cost)
    whole = likelihood.together(parts).figures()
    return {**whole, "documents": {name: part.figures() for name, part in zip(split.ids, parts, strict=True)}}
