"""Dialogue, from conversations to a served model."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import ReplyRanker
from ikelos.pipelines import task
from ikelos.pipelines.console import Progress
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.store import Splits, Store
from ikelos.pipelines.evaluation import reply_metrics, reply_scores, reply_sections
from ikelos.pipelines.evaluation.reply_baselines import most_frequent_reply_figures, ngram_figures, tfidf_figures
from ikelos.pipelines.evaluation.reply_metrics import figures_of_hits, figures_of_replies
from ikelos.pipelines.evaluation.reply_scores import Turns
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.tasks.dialogue.config import Config
from ikelos.pipelines.text import language_model, replying, turn_encoding
from ikelos.pipelines.text.encoding import TextPreprocessing
from ikelos.pipelines.text.replying import rank_signature, reply_signature
from ikelos.pipelines.text.turn_encoding import TOKENS, TurnPreparation, after_begin, vocabulary_size
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, SPECIAL
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Signature

LANGUAGE_MODEL, RANKER = "language_model", "ranker"
_SAMPLES = 3
"""Validation conversations that get a reply after each epoch."""
_NGRAMS = "Kneser-Ney"


class Task(task.Task[Config, TextPreprocessing]):
    """Dialogue: a language model learns to write replies, and a ranker to find the one that was given."""

    metrics = (
        Metric("hits", "hits@1", ".3f", better="more"),
        Metric("perplexity", "perplexity per word", ".1f"),
        Metric("chrf", "chrF", ".1f", better="more"),
        Metric("distinct_1", "distinct-1", ".3f", better="more"),
        Metric("distinct_2", "distinct-2", ".3f", better="more"),
    )
    counted = "questions"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Dialogue: {self.config.data.source.title('conversations')}"

    @property
    def model_name(self) -> str:
        """Name of the model in comparisons with baselines and peers."""
        model = self.config.model
        mixed = ", with n-grams" if language_model.ngrams(model) else ""
        return f"Ikelos {model.architecture}, {model.num_layers} layers, {model.size} wide{mixed}, and ranker"

    def preparation(self) -> TurnPreparation:
        """Returns the preparation of the conversations as tokens."""
        return TurnPreparation(self.config.data.source, self.config.data.vocabulary)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage]:
        """Returns the stages of the ranker, and of the language model, whose samples the ranker chooses."""
        size = vocabulary_size(preprocessing.vocabulary)
        return [
            Stage(
                name=RANKER,
                training=self.config.ranker_training,
                build=lambda _: self._ranker(preprocessing),
                feed=lambda splits, _: self._ranker_feed(splits),
                unit="tokens",
                metric=Metric("reply_accuracy", "of the replies found in a batch", better="more"),
            ),
            language_model.stage(
                LANGUAGE_MODEL,
                self.config.training,
                lambda _: language_model.build(self.config.model, size, LANGUAGE_MODEL),
                lambda splits, models: self._feed(preprocessing, splits, models[RANKER]),
            ),
        ]

    def _ranker(self, preprocessing: TextPreprocessing) -> ReplyRanker:
        words = preprocessing.vocabulary
        settings = self.config.ranker.model_dump()
        model = ReplyRanker(vocabulary_size(words), words.size, BEGIN, END, SPECIAL, **settings, name=RANKER)
        model.build((None, self.config.model.context))
        return model

    def _feed(self, preprocessing: TextPreprocessing, splits: Splits, ranker: ReplyRanker) -> Feed:
        size, train = preprocessing.vocabulary.size, splits["train"].ragged(TOKENS)

        def weighted(batch):
            # Roles and the beginnings of conversations are given to the model, which need not predict them.
            is_given = (batch["y"] >= size) | (batch["y"] == BEGIN)
            return batch | {"sample_weight": tf.where(is_given, 0.0, batch["sample_weight"])}

        return dataclasses.replace(
            self._windows(splits, self.config.training, weighted),
            samples=functools.partial(self._samples, preprocessing, splits["validation"], ranker),
            adapt=lambda model: language_model.count(self.config.model, model, train),
        )

    def _ranker_feed(self, splits: Splits) -> Feed:
        tokens = splits["train"].ragged(TOKENS).values
        return dataclasses.replace(
            self._windows(splits, self.config.ranker_training, lambda batch: {"id": batch["id"], "x": batch["x"]}),
            initialize=lambda model: model.adapt(np.bincount(tokens, minlength=model.vocabulary_size)),
        )

    def _windows(self, splits: Splits, training: PlainTraining, elements: Callable[[Batch], Batch]) -> Feed:
        """Returns the feed of windows of the conversations, each mapped to the elements of a stage."""
        train, validation = splits["train"].ragged(TOKENS), after_begin(splits["validation"].ragged(TOKENS))
        context, size = self.config.model.context, self.config.evaluation.batch_size
        return language_model.feed(train, validation, context, training, size, prepare=elements)

    def _samples(
        self, preprocessing: TextPreprocessing, store: Store, ranker: ReplyRanker, model: keras.Model
    ) -> list[str]:
        histories = [turn_encoding.turns_of(store, index)[0] for index in range(min(_SAMPLES, len(store)))]
        written = self._write(preprocessing, model, ranker, histories)
        return [f"{history} → {text}" for history, text in zip(histories, written, strict=True)]

    def _write(
        self, preprocessing: TextPreprocessing, model: keras.Model, ranker: ReplyRanker, histories: Sequence[str]
    ) -> list[str]:
        evaluation, export = self.config.evaluation, self.config.export
        settings = (evaluation.temperature, evaluation.top_p, export.max_length, export.num_samples)
        return replying.write(model, ranker, preprocessing.vocabulary, histories, *settings)

    def evaluate(self, preprocessing: TextPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns hits@1 and perplexity of the test split, and the measures of generated replies."""
        evaluation, context = self.config.evaluation, self.config.model.context
        model, ranker = models[LANGUAGE_MODEL], models[RANKER]
        words, figures = preprocessing.vocabulary, {}
        turns = Turns.of(splits["test"], words)
        questions = self._questions(turns)
        scores = reply_scores.ranker_scores(ranker, words, turns, questions, context)
        if evaluation.likelihood_weight:
            information = reply_scores.mutual_information(model, turns, questions, evaluation.likelihood_context)
            for name, alone in (("ranker", scores), ("language_model", information)):
                figures[f"hits_{name}"] = figures_of_hits(alone)["hits"]
            scores = scores + evaluation.likelihood_weight * information
        cost = reply_scores.token_cost(model, turns, context, evaluation.stride, evaluation.batch_size)
        histories, given = self._to_answer(turns, questions)
        with Progress("replies"):
            written = self._write(preprocessing, model, ranker, histories)
        return {
            **figures_of_hits(scores),
            **figures,
            **reply_scores.perplexity(turns, cost),
            **figures_of_replies(written, given),
            "vocabulary_size": words.size,
            "written": written[: evaluation.shown],
        }

    def _questions(self, turns: Turns) -> reply_metrics.Questions:
        evaluation = self.config.evaluation
        return reply_metrics.draw_questions(turns.texts, evaluation.questions, evaluation.candidates, evaluation.seed)

    def _to_answer(self, turns: Turns, questions: reply_metrics.Questions) -> tuple[list[str], list[str]]:
        """Returns histories, evenly spread over the questions, and the replies that were given."""
        number = min(self.config.evaluation.replies, len(questions.turn))
        chosen = np.linspace(0, len(questions.turn) - 1, number).astype(int)
        return turns.histories(questions, chosen), [turns.flat[index] for index in questions.candidates[chosen, 0]]

    def baselines(self, preprocessing: TextPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of TF-IDF, of the most frequent reply, and of an n-gram model."""
        train, validation, test = (Turns.of(splits[split], preprocessing.vocabulary) for split in SPLITS)
        questions, evaluation = self._questions(test), self.config.evaluation
        data = (train, test, questions, *self._to_answer(test, questions))
        limits = (evaluation.ngram_order, evaluation.ngram_tokens, vocabulary_size(preprocessing.vocabulary))
        return task.timed(
            {
                "TF-IDF": lambda: tfidf_figures(*data),
                "Most frequent reply": lambda: most_frequent_reply_figures(*data),
                _NGRAMS: lambda: ngram_figures(train, validation, test, questions, *limits),
            }
        )

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """Returns the signatures that reply to a conversation, and that score possible replies."""
        model, ranker, words = models[LANGUAGE_MODEL], models[RANKER], preprocessing.vocabulary
        evaluation, export, history = self.config.evaluation, self.config.export, preprocessing.example
        example = (history, evaluation.temperature, evaluation.top_p)
        sizes = (export.max_length, export.num_samples, export.max_bytes)
        limits = (export.max_replies, export.max_bytes)
        return [
            reply_signature(model, ranker, words, *sizes, example),
            rank_signature(ranker, words, self.config.model.context, *limits, history),
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns paragraphs on how the figures were measured."""
        figures, evaluation = results["model"], self.config.evaluation
        order, weight = results["baselines"][_NGRAMS]["order"], evaluation.likelihood_weight
        score = "Scores are those of the ranker."
        if weight:
            score = (
                f"The score is that of the ranker (alone: {figures['hits_ranker']:.3f}) and {weight:g} times the "
                "pointwise mutual information of history and reply under the language model (alone: "
                f"{figures['hits_language_model']:.3f})."
            )
        return [
            f"hits@1 is the share of {figures['questions']:,} histories of the test split for which the true reply has "
            f"the best score of {evaluation.candidates}; the others were drawn once from the test split (standard "
            f"error {figures['hits_error']:.3f}). {score} The perplexity is that of all test turns, by words. The "
            f"other figures are those of replies to {evaluation.replies} of the histories, each the best of "
            f"{self.config.export.num_samples} samples by the ranker (temperature {evaluation.temperature:g}, "
            f"top-p {evaluation.top_p:g}).",
            "TF-IDF ranks replies by the cosine of their words with those of the last turn, and gives the reply to the "
            f"training turn that is nearest to it. Kneser-Ney is an n-gram model of order {order} of the same tokens; "
            "its order was chosen on the validation split, and it ranks replies by their pointwise mutual information "
            "with the history.",
        ]

    def showcase(self, finished: task.Finished[TextPreprocessing]) -> list[Section]:
        """Returns the tables of all figures, and of replies with the training turns that are nearest to them."""
        words, model = finished.preprocessing.vocabulary, finished.results["model"]
        train, test = (Turns.of(finished.splits[split], words) for split in ("train", "test"))
        everything = {self.model_name: model, **finished.results["baselines"]}
        answered = self._to_answer(test, self._questions(test))
        return [
            reply_sections.all_figures(self.metrics, everything),
            *reply_sections.with_nearest(*answered, model["written"], train.flat),
        ]
