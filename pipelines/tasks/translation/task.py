"""Translation, from pairs of texts to a served model."""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines import task
from ikelos.pipelines.console import counted, say
from ikelos.pipelines.data.store import Splits, Store
from ikelos.pipelines.evaluation import apertium, by_group, translation
from ikelos.pipelines.evaluation.tfidf import TfIdf
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.sections import Column, Section, Table
from ikelos.pipelines.tasks.translation.config import Config
from ikelos.pipelines.text import attention_maps, translation_model, windows
from ikelos.pipelines.text.encoding import TextPreprocessing
from ikelos.pipelines.text.pair_encoding import GROUP, SOURCE, SOURCE_TEXT, TARGET, TARGET_TEXT, PairPreparation
from ikelos.pipelines.text.translating import translate
from ikelos.pipelines.training.losses import Crossentropy
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Bound, Signature

STAGE = "translation_model"
_METRICS = (
    Metric("chrf", "chrF", ".1f", better="more"),
    Metric("bleu", "BLEU", ".1f", better="more"),
    Metric("exact_match", "% exact", ".1f", better="more"),
)
# Shared by all calls: samples are written each epoch, and tracing the loop takes longer than running it.
_translate = tf.function(translate, reduce_retracing=True, autograph=False)
_SAMPLES = 4
"""Validation pairs that are translated after each epoch."""


class Task(task.Task[Config, TextPreprocessing]):
    """Translation: a model learns to write the target text of a source text."""

    counted = "pairs"
    breakdown = task.Breakdown("groups", "group")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics, the recipe's headline first."""
        return tuple(sorted(_METRICS, key=lambda metric: metric.name != self.config.evaluation.headline))

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Translation: {self.config.data.source.title('pairs')}"

    @property
    def model_name(self) -> str:
        """Name of the model in comparisons with baselines and peers."""
        model = self.config.model
        return f"Ikelos {model.architecture}, {model.num_layers} layers, {model.size} wide"

    def preparation(self) -> PairPreparation:
        """Returns the preparation of the pairs as tokens."""
        return PairPreparation(self.config.data.source, self.config.data.vocabulary)

    def stages(self, preprocessing: TextPreprocessing) -> list[Stage]:
        """Returns the one stage, in which the model learns to predict the target's next token."""
        return [
            Stage(
                name=STAGE,
                training=self.config.training,
                build=lambda _: translation_model.build(self.config.model, preprocessing.vocabulary.size, STAGE),
                feed=lambda splits, _: self._feed(preprocessing, splits),
                unit="pairs",
                metric=Metric("loss", "nats per token"),
                loss=Crossentropy(self.config.training.label_smoothing),
            )
        ]

    def _feed(self, preprocessing: TextPreprocessing, splits: Splits) -> Feed:
        training, buckets = self.config.training, self.config.data.buckets
        train, validation = (
            (splits[split].ragged(SOURCE), splits[split].ragged(TARGET)) for split in ("train", "validation")
        )
        # Long before the evaluation, which needs it.
        by_group.check(set(splits["test"].texts(GROUP)), self.config.evaluation.apart, "pairs")
        fitting = windows.fitting(*train, buckets[-1])
        if left_out := len(splits["train"]) - fitting:
            say(f"{left_out:,} training pairs are left out, as a text is longer than {buckets[-1]} tokens")
        return Feed(
            train=lambda step, shard: windows.paired(*train, buckets, training.batch_size, training.seed, step, shard),
            validation=windows.paired_in_order(*validation, buckets[-1], self.config.evaluation.batch_size),
            units_per_step=training.batch_size,
            units=fitting,
            samples=functools.partial(self._samples, preprocessing, splits["validation"]),
        )

    def _samples(self, preprocessing: TextPreprocessing, store: Store, model: keras.Model) -> list[str]:
        sources = store.texts(SOURCE_TEXT, _SAMPLES)
        written = self._write(preprocessing, model, sources)
        return [f"{source} → {text}" for source, text in zip(sources, written, strict=True)]

    def _write(self, preprocessing: TextPreprocessing, model: keras.Model, texts: list[str]) -> list[str]:
        """Returns the translations of texts with the recipe's settings."""
        found = _translate(model, preprocessing.vocabulary, tf.constant(texts), **self._search)["translation"]
        return [text.decode() for text in found.numpy()]

    @property
    def _search(self) -> dict[str, Any]:
        """Settings of `translate`."""
        export, evaluation = self.config.export, self.config.evaluation
        return {
            "max_source": export.max_source,
            "max_length": export.max_length,
            "num_beams": evaluation.num_beams,
            "length_penalty": evaluation.length_penalty,
        }

    def evaluate(self, preprocessing: TextPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns chrF, BLEU and exact matches of the test split, and those of each group."""
        test, size = splits["test"], self.config.evaluation.batch_size
        sources = np.array(test.texts(SOURCE_TEXT), object)
        found = np.empty(len(test), object)
        order, start = np.argsort(test.ragged(SOURCE).lengths, kind="stable"), time.monotonic()
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        for batch in counted(batches, "the model's translations", "batches", len(batches)):
            found[batch] = self._write(preprocessing, models[STAGE], sources[batch].tolist())
        seconds = time.monotonic() - start
        return {
            **self._figures(test, found.tolist()),
            "vocabulary_size": preprocessing.vocabulary.size,
            "seconds_per_pair": seconds / len(test),
        }

    def baselines(self, preprocessing: TextPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of copying the source, of a lexicon, of the nearest training pair, and of Apertium."""
        train, test, most = splits["train"], splits["test"], self.config.evaluation.baseline_pairs
        direction = self.config.evaluation.apertium
        known, theirs = (train.texts(column, most) for column in (SOURCE_TEXT, TARGET_TEXT))
        sources = test.texts(SOURCE_TEXT)
        of = f", first {most:,} pairs" if len(train) > most else ""

        def nearest():
            return [theirs[index] for index in TfIdf(known).nearest(sources)[0]]

        def word_by_word():
            return list(translation.translated_by_lexicon(sources, list(zip(known, theirs, strict=True))))

        found = {"The source itself": lambda: sources}
        if known:
            found |= {f"Word by word{of}": word_by_word, f"Nearest training pair{of}": nearest}
        if direction and apertium.is_installed():
            found |= {f"Apertium {direction}": lambda: apertium.translate(sources, direction)}
        elif direction:
            say("Apertium is not installed: the baselines are without it")

        def measured(translate):
            return self._figures(test, translate())

        return task.timed({name: functools.partial(measured, translate) for name, translate in found.items()})

    def _figures(self, store: Store, translations: list[str]) -> task.Figures:
        references, groups = (store.texts(column) for column in (TARGET_TEXT, GROUP))

        def of(places):
            return translation.figures([translations[at] for at in places], [references[at] for at in places])

        figures = by_group.figures(groups, self.config.evaluation.apart, of, "pairs")
        return {**figures, "shown": translations[: self.config.evaluation.shown]}

    def signatures(self, preprocessing: TextPreprocessing, models: Models) -> list[Signature]:
        """Returns the signature that translates texts."""
        export = self.config.export
        return [
            Signature(
                name="serving_default",
                function=functools.partial(translate, models[STAGE], preprocessing.vocabulary, **self._search),
                inputs={"text": tf.TensorSpec([None], tf.string)},
                example={"text": [preprocessing.example, ""]},
                doc=f"Translation of each text of at most {export.max_source} tokens, and its log-probability.",
                bounds={"text": Bound(max_bytes=export.max_bytes)},
            )
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns a paragraph on how the translations were made and measured."""
        figures, evaluation = results["model"], self.config.evaluation
        apart = f" The groups {', '.join(evaluation.apart)} are not counted in it." if evaluation.apart else ""
        return [
            f"Translations of the {figures['pairs']:,} test pairs, by a beam of {evaluation.num_beams} with length "
            f"penalty {evaluation.length_penalty:g}, measured by sacrebleu (chrF: {figures['chrf_signature']}; BLEU: "
            f"{figures['bleu_signature']}).{apart} Word by word: IBM model 1, fitted to the training pairs. Nearest "
            "training pair: the target of the training source with the largest cosine of TF-IDF vectors."
        ]

    def showcase(self, finished: task.Finished[TextPreprocessing]) -> list[Section]:
        """Returns the table of the first test pairs with their translations, and pictures of the attention."""
        figures, baselines = finished.results["model"], finished.results["baselines"]
        count = len(figures["shown"])
        if not count:
            return []
        sources, references = (finished.splits["test"].texts(column, count) for column in (SOURCE_TEXT, TARGET_TEXT))
        # The first baseline is the source, which has its own column.
        others = {name: values["shown"] for name, values in list(baselines.items())[1:]}
        table = Table(
            heading="Translations",
            prose=[f"The first {count} pairs of the test split, not selected."],
            columns=[Column(title) for title in ("Source", "Reference", "Model", *others)],
            rows=[list(row) for row in zip(sources, references, figures["shown"], *others.values(), strict=True)],
        )
        return [table, *self._maps(finished, sources, figures["shown"])]

    def _maps(
        self, finished: task.Finished[TextPreprocessing], sources: Sequence[str], found: Sequence[str]
    ) -> list[Section]:
        pairs = [pair for pair in zip(sources, found, strict=True) if all(pair)][: self.config.evaluation.maps]
        model, vocabulary = finished.models[STAGE], finished.preprocessing.vocabulary
        return [attention_maps.section(model, vocabulary, pairs)] if pairs else []
