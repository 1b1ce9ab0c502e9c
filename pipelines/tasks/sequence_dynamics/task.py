"""Sequence dynamics, from generated sequences and a text to measures of several networks."""

import functools
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ikelos.pipelines import task
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.tasks.sequence_dynamics import measures, networks, problems, sections, serving
from ikelos.pipelines.tasks.sequence_dynamics.config import Config
from ikelos.pipelines.tasks.sequence_dynamics.problems import TEST, TRAIN, VALIDATION, Adding, Copying
from ikelos.pipelines.text import windows
from ikelos.pipelines.text.encoding import TextPreparation, TextPreprocessing
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Signature

CLIPPED, UNCLIPPED = "exploding_clipped", "exploding_unclipped"
_NO_CLIPPING = float(np.finfo(np.float32).max)
"""A clip norm that no finite gradient exceeds."""


class Task(task.Task[Config, TextPreprocessing]):
    """Sequence dynamics: each network learns to copy, to add and to predict text."""

    metrics = (Metric("accuracy", "% right", ".1f", better="more"),)
    counted = "sequences"

    @property
    def _problems(self) -> dict[str, problems.Problem]:
        settings = self.config.problems
        return {"copying": Copying(settings.symbols, settings.copied), "adding": Adding()}

    @property
    def model_name(self) -> str:
        """Name of the network of the headline."""
        return sections.NAMES[self.config.evaluation.headline]

    def preparation(self) -> TextPreparation:
        """Returns the preparation of the text as tokens."""
        return TextPreparation(self.config.data.source, self.config.data.vocabulary)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage]:
        """Returns a stage for each network and problem, and two for gradients that explode."""
        config, size = self.config, preprocessing.vocabulary.size
        copying = self._problems["copying"]
        assert isinstance(copying, Copying)
        classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        squares = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
        gain, clipped = config.model.exploding_gain, config.exploding
        free = clipped.optimizers.model.model_copy(update={"clip_norm": _NO_CLIPPING})
        unclipped = clipped.model_copy(update={"optimizers": clipped.optimizers.model_copy(update={"model": free})})
        # These come first: with a large gain they end with an error, as their gradients are not finite.
        found = [
            self._text_stage(name, "rnn", training, size, classes, gain)
            for name, training in ((CLIPPED, clipped), (UNCLIPPED, unclipped))
        ]
        for kind in self.config.model.kinds:
            stage = functools.partial(self._sequence_stage, kind)
            found += [
                stage("copying", config.copying, copying.symbols, copying.vocabulary_size, classes, "nats per symbol"),
                stage("adding", config.adding, 1, None, squares, "squared error"),
                self._text_stage(f"reading_{kind}", kind, config.reading, size, classes),
            ]
        return found

    def _sequence_stage(
        self,
        kind: str,
        problem: str,
        training: PlainTraining,
        outputs: int,
        vocabulary_size: int | None,
        loss: keras.losses.Loss,
        unit: str,
    ) -> Stage:
        name = f"{problem}_{kind}"
        return Stage(
            name=name,
            training=training,
            build=lambda _: networks.build(kind, self.config.model, outputs, name, vocabulary_size),
            feed=lambda *_: self._sequence_feed(problem, training),
            unit="sequences",
            metric=Metric("loss", unit),
            loss=loss,
        )

    def _sequence_feed(self, problem: str, training: PlainTraining) -> Feed:
        settings, lags = self._problems[problem], self.config.problems.lags
        size, seed = training.batch_size, training.seed
        return Feed(
            train=lambda step, shard: problems.batches(settings, lags, size, seed, TRAIN, step, shard),
            validation=problems.one_batch_per_lag(settings, lags, self.config.evaluation.examples, seed, VALIDATION),
            units_per_step=size,
            units=size * training.steps,  # no sequence is seen twice
        )

    def _text_stage(
        self, name: str, kind: str, training: PlainTraining, size: int, loss: keras.losses.Loss, gain: float = 1.0
    ) -> Stage:
        return Stage(
            name=name,
            training=training,
            build=lambda _: networks.build(kind, self.config.model, size, name, size, gain),
            feed=lambda splits, _: self._text_feed(splits, training),
            unit="tokens",
            metric=Metric("loss", "nats per token"),
            loss=loss,
        )

    def _text_feed(self, splits: Splits, training: PlainTraining) -> Feed:
        tokens, validation = (splits[split].ragged("tokens") for split in ("train", "validation"))
        length, size = self.config.problems.text_length, training.batch_size
        measures.text_windows(splits["test"].ragged("tokens").values, 1, length)  # long before it is needed
        validation = validation.head(self.config.evaluation.text_windows * length)
        return Feed(
            train=lambda step, shard: windows.packed(tokens.values, length, size, training.seed, step, shard),
            validation=windows.strided(validation, length, length, size),
            units_per_step=length * size,
            units=len(tokens.values),
        )

    def evaluate(self, preprocessing: TextPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns the headline network's accuracy, and the measures of all networks."""
        evaluation, size, kinds = self.config.evaluation, preprocessing.vocabulary.size, self.config.model.kinds
        accuracies = {
            problem: {kind: self._accuracy(problem, models[f"{problem}_{kind}"]) for kind in kinds}
            for problem in self._problems
        }
        readers: dict[str, Any] = {kind: models[f"reading_{kind}"] for kind in kinds}
        text = splits["test"].ragged("tokens").values
        x, y = measures.text_windows(text, evaluation.text_windows, self.config.problems.text_length)

        def untrained(kind, gain=1.0):
            keras.utils.set_random_seed(self.config.reading.seed)
            return networks.build(kind, self.config.model, size, "untrained", size, gain)

        return {
            "accuracy": self._mean({problem: found[evaluation.headline] for problem, found in accuracies.items()}),
            "sequences": len(self._problems) * len(evaluation.lags) * evaluation.examples,
            "accuracies": accuracies,
            "nats_per_token": {kind: measures.nats_per_token(model, x, y) for kind, model in readers.items()},
            "gradients": {
                "untrained": {kind: measures.gradient_norms(untrained(kind), x, y) for kind in kinds},
                "trained": {kind: measures.gradient_norms(model, x, y) for kind, model in readers.items()},
                "gains": {f"{g:g}": measures.gradient_norms(untrained("rnn", g), x, y) for g in evaluation.gains},
            },
            "step_milliseconds": measures.step_times(readers, evaluation.speed, text),
            "tokens_per_second": measures.decoding_rates(readers, evaluation.speed, text),
        }

    def _accuracy(self, problem: str, answer: measures.Answer) -> measures.Points:
        """Returns the percentage of right answers by lag."""
        evaluation, settings = self.config.evaluation, self._problems[problem]
        seed = getattr(self.config, problem).seed
        dataset = problems.one_batch_per_lag(settings, evaluation.lags, evaluation.examples, seed, TEST)
        shares = measures.accuracy(settings, answer, dataset, evaluation.tolerance)
        return [[lag, 100 * share] for lag, share in zip(evaluation.lags, shares, strict=True)]

    def _mean(self, curves: Mapping[str, measures.Points]) -> float:
        return measures.mean(list(curves.values()))

    def baselines(self, preprocessing: TextPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of the best answers without the sequence."""
        start = time.monotonic()
        found = {name: self._accuracy(name, measures.guess(settings)) for name, settings in self._problems.items()}
        minutes = (time.monotonic() - start) / 60
        return {"Guessing": {"accuracy": self._mean(found), "accuracies": found, "minutes": minutes}}

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures in which the headline network copies and adds."""
        headline, copying = self.config.evaluation.headline, self._problems["copying"]
        assert isinstance(copying, Copying)
        return [
            serving.copy(copying, models[f"copying_{headline}"], self.config.problems.lags[-1]),
            serving.add(models[f"adding_{headline}"]),
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns a paragraph on what is counted."""
        evaluation, settings = self.config.evaluation, self.config.problems
        return [
            f"Mean over the copy and the adding problem and the lags {', '.join(map(str, evaluation.lags))}: right "
            f"symbols of {settings.copied}, and sums that are wrong by at most {evaluation.tolerance:g}. Training had "
            f"the lags {', '.join(map(str, settings.lags))}. Guessing takes any symbol, and 1 for each sum."
        ]

    def showcase(self, finished: task.Finished[TextPreprocessing]) -> list[Section]:
        """Returns the charts of all networks."""
        clipping = {"clipped": finished.histories[CLIPPED], "not clipped": finished.histories[UNCLIPPED]}
        return sections.of_networks(finished.results, clipping, self.config.exploding.optimizers.model.clip_norm)
