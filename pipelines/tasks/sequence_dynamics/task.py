"""Sequence dynamics, from generated sequences and a text to measures of several networks."""

import functools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ikelos.pipelines import task
from ikelos.pipelines.data.store import Ragged, Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import by_lag, gradient_norms, likelihood, speed_by_length
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.report import clipping
from ikelos.pipelines.report.sections import Column, Section, Table
from ikelos.pipelines.sequences import signatures, stages
from ikelos.pipelines.sequences.problems import Adding, Copying, Problem
from ikelos.pipelines.tasks.sequence_dynamics import networks
from ikelos.pipelines.tasks.sequence_dynamics.config import Config
from ikelos.pipelines.text import language_model, windows
from ikelos.pipelines.text.encoding import TextPreparation, TextPreprocessing
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Signature

CLIPPED, UNCLIPPED = "clipped_rnn", "unclipped_rnn"
_NO_CLIPPING = float(np.finfo(np.float32).max)
"""A clip norm that no finite gradient exceeds."""
_NAMES = {
    "rnn": "plain RNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "transformer": "Transformer",
    "transformer_without_positions": "without positions",
}
"""Names of the networks in charts, where they must be short; "without positions" is a Transformer."""


class Task(task.Task[Config, TextPreprocessing]):
    """Sequence dynamics: each network learns to copy, to add and to predict text."""

    metrics = (Metric("accuracy", "% right", ".1f", better="more"),)
    counted = "sequences"

    @property
    def _copying(self) -> Copying:
        return Copying(self.config.problems.symbols, self.config.problems.copied)

    @property
    def _problems(self) -> dict[str, Problem]:
        """The two problems whose sequences are generated."""
        return {"copying": self._copying, "adding": Adding(self.config.evaluation.tolerance)}

    @property
    def _trainings(self) -> dict[str, PlainTraining]:
        return {"copying": self.config.copying, "adding": self.config.adding}

    @property
    def model_name(self) -> str:
        """Name of the network of the headline."""
        return _NAMES[self.config.evaluation.headline]

    def preparation(self) -> TextPreparation:
        """Returns the preparation of the text as tokens."""
        return TextPreparation(self.config.data.source, self.config.data.vocabulary)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage]:
        """Returns two stages for gradients that explode, and a stage for each network and problem."""
        config, size = self.config, preprocessing.vocabulary.size
        gain, clipped = config.model.exploding_gain, config.clipping
        # These come first: with a large gain they end with an error, as their gradients are not finite.
        found = [
            self._text_stage(CLIPPED, "rnn", clipped, size, gain),
            self._text_stage(UNCLIPPED, "rnn", _without_clipping(clipped), size, gain),
        ]
        for kind in config.model.kinds:
            found += [self._problem_stage(problem, kind) for problem in self._problems]
            found.append(self._text_stage(f"language_modeling_{kind}", kind, config.language_modeling, size))
        return found

    def _problem_stage(self, name: str, kind: str) -> Stage:
        problem, stage_name, config = self._problems[name], f"{name}_{kind}", self.config
        build = functools.partial(
            networks.build, kind, config.model, problem.outputs, stage_name, problem.vocabulary_size
        )
        lags, examples = config.problems.lags, config.evaluation.examples
        return stages.stage(stage_name, problem, self._trainings[name], build, lags, examples)

    def _text_stage(self, name: str, kind: str, training: PlainTraining, size: int, gain: float = 1.0) -> Stage:
        return language_model.stage(
            name,
            training,
            lambda _: networks.build(kind, self.config.model, size, name, size, gain),
            lambda splits, _: self._text_feed(splits, training),
        )

    def _text_feed(self, splits: Splits, training: PlainTraining) -> Feed:
        train, validation = (splits[split].ragged("tokens") for split in ("train", "validation"))
        length = self.config.problems.text_length
        self._test_text(splits)  # long before it is needed
        validation = validation.head(self.config.evaluation.text_windows * length)
        return language_model.feed(train, validation, length, training, training.batch_size)

    def _test_text(self, splits: Splits) -> Ragged:
        """Returns the beginning of the test split as one text, as many full windows as the recipe says."""
        tokens, length = splits["test"].ragged("tokens").values, self.config.problems.text_length
        number = min(self.config.evaluation.text_windows, len(tokens) // length)
        if not number:
            raise UserError(
                f"`problems.text_length` must be at most {len(tokens)}, the number of test tokens. "
                f"Received: problems.text_length={length}"
            )
        return Ragged.of([tokens[: number * length]])

    def evaluate(self, preprocessing: TextPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns the headline network's accuracy, and the measures of all networks."""
        evaluation, kinds = self.config.evaluation, self.config.model.kinds
        accuracies = {
            problem: {kind: self._accuracy(problem, models[f"{problem}_{kind}"]) for kind in kinds}
            for problem in self._problems
        }
        language_models: dict[str, Any] = {kind: models[f"language_modeling_{kind}"] for kind in kinds}
        return {
            "accuracy": _mean({problem: found[evaluation.headline] for problem, found in accuracies.items()}),
            "sequences": len(self._problems) * len(evaluation.lags) * evaluation.examples,
            "accuracies": accuracies,
            **self._text_figures(language_models, self._test_text(splits), preprocessing.vocabulary.size),
            **self._speeds(language_models, splits["test"].ragged("tokens").values),
        }

    def _accuracy(self, name: str, answer: by_lag.Answer) -> by_lag.Points:
        evaluation, seed = self.config.evaluation, self._trainings[name].seed
        return by_lag.accuracy(self._problems[name], answer, evaluation.lags, evaluation.examples, seed)

    def _text_figures(self, language_models: Mapping[str, Any], text: Ragged, size: int) -> task.Figures:
        """Returns the cost of a token, and gradients by distance, in windows of a text."""
        evaluation, length = self.config.evaluation, self.config.problems.text_length
        dataset = windows.strided(text, length, length, evaluation.text_windows)
        (batch,) = dataset

        def nats(model):
            return float(np.concatenate(list(likelihood.token_nll(model, dataset, len(text.values)))).mean())

        def gradients(model):
            return gradient_norms.by_distance(model, batch["x"], batch["y"])

        def untrained(kind, gain=1.0):
            keras.utils.set_random_seed(self.config.language_modeling.seed)
            return networks.build(kind, self.config.model, size, "untrained", size, gain)

        return {
            "nats_per_token": {kind: nats(model) for kind, model in language_models.items()},
            "gradients": {
                "untrained": {kind: gradients(untrained(kind)) for kind in language_models},
                "trained": {kind: gradients(model) for kind, model in language_models.items()},
                "gains": {f"{gain:g}": gradients(untrained("rnn", gain)) for gain in evaluation.gains},
            },
        }

    def _speeds(self, language_models: Mapping[str, Any], text: np.ndarray) -> task.Figures:
        speed = self.config.evaluation.speed
        decoders = {kind: networks.Stepwise(model) for kind, model in language_models.items()}
        return {
            "step_milliseconds": speed_by_length.training(
                language_models, text, speed.lengths, speed.batch_size, speed.repeats
            ),
            "tokens_per_second": speed_by_length.decoding(decoders, text, speed.lengths, speed.tokens, speed.repeats),
        }

    def baselines(self, preprocessing: TextPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of the best answers without the sequence."""

        def guessing():
            found = {name: self._accuracy(name, problem.guess) for name, problem in self._problems.items()}
            return {"accuracy": _mean(found), "accuracies": found}

        return task.timed({"Guessing": guessing})

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures in which the headline network copies and adds."""
        headline, longest = self.config.evaluation.headline, self.config.export.max_lag
        return [
            signatures.copy(self._copying, models[f"copying_{headline}"], self.config.problems.lags[-1], longest),
            signatures.add(models[f"adding_{headline}"], 2 * longest),
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
        """Returns the charts of all networks, and the table of their costs of the text."""
        figures, (guessing,) = finished.results["model"], finished.results["baselines"].values()
        gradients, guessed = figures["gradients"], guessing["accuracies"]
        return [
            by_lag.section(
                {problem.title: _named(figures["accuracies"][name]) for name, problem in self._problems.items()},
                {problem.title: _mean({name: guessed[name]}) for name, problem in self._problems.items()},
            ),
            gradient_norms.section(_named(gradients["untrained"]), _named(gradients["trained"]), gradients["gains"]),
            clipping.section(
                {"clipped": finished.histories[CLIPPED], "not clipped": finished.histories[UNCLIPPED]},
                self.config.clipping.optimizers.model.clip_norm,
                "nats per token",
                "A plain RNN whose recurrent weights begin so large that its gradients explode, trained on the text.",
            ),
            speed_by_length.section(_named(figures["step_milliseconds"]), _named(figures["tokens_per_second"])),
            Table(
                heading="Text",
                prose=["Cost of the test text, in windows without overlap."],
                columns=[Column("Network"), Column("Nats per token", ".3f")],
                rows=[[name, nats] for name, nats in _named(figures["nats_per_token"]).items()],
            ),
        ]


def _without_clipping(training: PlainTraining) -> PlainTraining:
    free = training.optimizers.model.model_copy(update={"clip_norm": _NO_CLIPPING})
    return training.model_copy(update={"optimizers": training.optimizers.model_copy(update={"model": free})})


def _mean(curves: Mapping[str, by_lag.Points]) -> float:
    return float(np.mean([value for points in curves.values() for _, value in points]))


def _named(found: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAMES[kind]: values for kind, values in found.items()}
