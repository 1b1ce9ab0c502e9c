"""Language modelling, from documents to a served model."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.pipelines import task
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.evaluation import likelihood, ngram
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.sections import Section, Surprisal
from ikelos.pipelines.tasks.language_modeling.config import Config
from ikelos.pipelines.text import documents, encoding, samples, signatures, windows
from ikelos.pipelines.text.documents import Documents
from ikelos.pipelines.text.encoding import TextPreprocessing, Tokens
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Signature

STAGE = "language_model"
_PASSAGE = 1500
"""Tokens of held-out text that the report shades by what they cost."""

Data = Mapping[Split, Tokens]


class Task(task.Task[Config, TextPreprocessing, Data]):
    """A model learns to predict the next token."""

    metrics = (
        Metric("nats_per_character", "nats per character"),
        Metric("bits_per_character", "bits per character"),
    )
    counted = "characters"
    breakdown = task.Breakdown("documents", "document")

    @property
    def title(self) -> str:
        """Of the report."""
        return f"Language model: {self.config.data.source.tfds or 'files'}"

    @property
    def model_name(self) -> str:
        """Of our model, beside baselines and peers."""
        model = self.config.model
        return f"Ikelos {model.architecture}, {model.num_layers} layers, {model.size} wide"

    def read(self) -> Mapping[Split, Documents]:
        """All documents."""
        return documents.load(self.config.data.source)

    def fit(self, splits: Mapping[Split, Documents]) -> TextPreprocessing:
        """Fits the vocabulary."""
        return TextPreprocessing.fit(self.config.data.vocabulary, splits["train"].texts)

    def load(self, folder: Path) -> TextPreprocessing:
        """Reads the vocabulary."""
        return TextPreprocessing.load(folder)

    def encode(self, preprocessing: TextPreprocessing, splits: Mapping[Split, Documents]) -> Data:
        """The documents in tokens."""
        return encoding.encode(preprocessing.vocabulary, splits)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage[Data]]:
        """One stage: the model learns to predict the next token."""
        return [
            Stage(
                name=STAGE,
                training=self.config.training,
                build=lambda _: self.build(preprocessing),
                feed=lambda data, _: self._feed(preprocessing, data),
                unit="tokens",
                metric=Metric("loss", "nats per token"),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
            )
        ]

    def build(self, preprocessing: TextPreprocessing) -> keras.Model:
        """The untrained model."""
        settings = self.config.model.model_dump(exclude={"architecture"})
        classes = {"transformer": TransformerLanguageModel, "lstm": LSTMLanguageModel}
        model = classes[self.config.model.architecture](preprocessing.vocabulary.size, **settings, name=STAGE)
        model.build((None, self.config.model.context))
        return model

    def _feed(self, preprocessing: TextPreprocessing, data: Data) -> Feed:
        context, training = self.config.model.context, self.config.training
        train, buckets = data["train"].tokens, self.config.data.buckets
        if buckets is None:
            stream = np.concatenate(train)
            row = float(context)

            def batches(start_step):
                return windows.packed(stream, context, training.batch_size, training.seed, start_step)
        else:
            rows = windows.pieces(train, context)
            row = float(np.mean([len(tokens) for tokens in rows]))

            def batches(start_step):
                return windows.bucketed(rows, buckets, training.batch_size, training.seed, start_step)

        return Feed(
            train=batches,
            # Windows that don't overlap: half the work, and as good for comparing epochs with each other.
            validation=windows.strided(data["validation"].tokens, context, context, self.config.evaluation.batch_size),
            units_per_step=round(row * training.batch_size),
            units=sum(len(tokens) for tokens in train),
            samples=lambda model: self._write_samples(preprocessing, model),
        )

    def evaluate(self, preprocessing: TextPreprocessing, data: Data, models: Models) -> task.Figures:
        """Likelihood of the test split, whole and by document."""
        test = data["test"]
        return {
            **_figures(preprocessing, test, self.token_nll(models[STAGE], test.tokens)),
            "vocabulary_size": preprocessing.vocabulary.size,
            "context": self.config.model.context,
            "stride": self.config.evaluation.stride,
        }

    def baselines(self, preprocessing: TextPreprocessing, data: Data) -> dict[str, task.Figures]:
        """An interpolated n-gram model, of the order that is best on the validation split."""
        start = time.monotonic()
        longest = self.config.evaluation.ngram_order
        model = ngram.fit(data["train"].tokens, longest, preprocessing.vocabulary.size)
        order, _ = ngram.best_order(model, data["validation"].tokens)
        minutes = (time.monotonic() - start) / 60
        chosen = model.truncated(order)
        nll = [-chosen.log_probabilities(tokens) for tokens in data["test"].tokens]
        figures = _figures(preprocessing, data["test"], nll)
        return {f"Interpolated Kneser-Ney {order}-gram": {**figures, "order": order, "minutes": minutes}}

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """The likelihood of a text and what follows it, and writing on from a prompt."""
        words, model = preprocessing.vocabulary, models[STAGE]
        return [
            signatures.score(
                "serving_default", words, model, self.config.evaluation.stride, "To be, or not to be, that is the "
            ),
            signatures.generate("generate", words, model, self.config.export.max_length, "To be, or not"),
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """How the text was cut for the model, and how the n-gram model was made."""
        figures = results["model"]
        return [
            f"Cost of a character of the held-out text ({figures['characters']:,} characters). Each is predicted "
            f"once, in windows of {figures['context']} tokens of which {figures['stride']} are counted, so from at "
            f"least {figures['context'] - figures['stride']} tokens before it where there are so many. The n-gram "
            "model was fitted on the same training text; its order was chosen on the validation text. The peers' "
            "figures and minutes are those that the recipe names.",
        ]

    def details(self, finished: task.Finished[TextPreprocessing, Data]) -> list[Section]:
        """What the model writes, and what surprises it."""
        model, test = finished.models[STAGE], finished.data["test"]
        passage = test.tokens[0][:_PASSAGE]
        pieces = finished.preprocessing.vocabulary.decode(tf.reshape(passage, [-1, 1])).numpy()
        return [
            *samples.section(self.config.evaluation.samples, self._write_samples(finished.preprocessing, model)),
            Surprisal(
                heading="Where it is surprised",
                prose=[f"The beginning of “{test.ids[0]}”, which it never saw, shaded by what each token cost."],
                pieces=[piece.decode("utf-8", "replace") for piece in pieces],
                nats=self.token_nll(model, [passage])[0].tolist(),
            ),
        ]

    def token_nll(self, model: keras.Model, tokens: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Cost of every token of some documents in nats, float64 `[n]` for each."""
        evaluation = self.config.evaluation
        dataset = windows.strided(tokens, self.config.model.context, evaluation.stride, evaluation.batch_size)
        return likelihood.token_nll(model, dataset, [len(document) for document in tokens])

    def _write_samples(self, preprocessing: TextPreprocessing, model: keras.Model) -> list[str]:
        return samples.write(self.config.evaluation.samples, preprocessing.vocabulary, model)


def _figures(preprocessing: TextPreprocessing, split: Tokens, nll: Sequence[np.ndarray]) -> task.Figures:
    parts = likelihood.likelihoods(nll, split.tokens, split.characters, preprocessing.vocabulary.unknown_cost)
    whole = likelihood.together(parts).figures()
    return {**whole, "documents": {name: part.figures() for name, part in zip(split.ids, parts, strict=True)}}
