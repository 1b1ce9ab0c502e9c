"""Speech recognition, from recordings with transcripts to a served model."""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import LSTMSpeechModel
from ikelos.pipelines import task
from ikelos.pipelines.audio import batches, sections, signatures
from ikelos.pipelines.audio.examples import Examples, check_emphasis, emphasised
from ikelos.pipelines.audio.pcm import shortened
from ikelos.pipelines.audio.recognition import recognize, recognize_greedily
from ikelos.pipelines.audio.speech_encoding import (
    AUDIO,
    GROUP,
    TEXT,
    TOKENS,
    SpeechPreparation,
    SpeechPreprocessing,
)
from ikelos.pipelines.console import counted, say
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.store import Splits, Store
from ikelos.pipelines.evaluation import by_group, error_rates, time_warping
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.sections import Section
from ikelos.pipelines.tasks.speech_recognition.config import Config
from ikelos.pipelines.text import language_model
from ikelos.pipelines.training.stage import Feed, Models, Stage
from ikelos.serving import Bound, Signature

LANGUAGE_MODEL, RECOGNIZER = "language_model", "recognizer"
_TRAINED: tuple[Split, ...] = ("train", "validation")
_SAMPLES = 4
"""Validation recordings that are recognised after each epoch."""
# Shared by all calls: samples are written each epoch, and tracing takes longer than running.
_greedily = tf.function(recognize_greedily, reduce_retracing=True, autograph=False)


class Task(task.Task[Config, SpeechPreprocessing]):
    """Speech recognition: a model learns to write down what is said, and another one which texts are likely."""

    metrics = (Metric("wer", "% WER", ".1f"), Metric("cer", "% CER", ".1f"))
    counted = "recordings"
    breakdown = task.Breakdown("groups", "group")

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Speech recognition: {self.config.data.source.title('recordings')}"

    @property
    def model_name(self) -> str:
        """Name of the model in comparisons with baselines and peers."""
        model = self.config.model
        return f"Ikelos lstm, {model.num_layers} layers, {model.size} wide in each direction"

    def preparation(self) -> SpeechPreparation:
        """Returns the preparation of the recordings as samples and of the transcripts as tokens."""
        data = self.config.data
        return SpeechPreparation(data.source, data.vocabulary, data.sampling_rate, data.max_seconds)

    def stages(self, preprocessing: SpeechPreprocessing) -> list[Stage]:
        """Returns the stages: the language model of the search, which learns from the training transcripts, and the
        recogniser."""
        size = preprocessing.vocabulary.size
        return [
            language_model.stage(
                LANGUAGE_MODEL,
                self.config.language_training,
                lambda _: language_model.build(self.config.language_model, size, LANGUAGE_MODEL),
                lambda splits, _: self._feed_of_texts(preprocessing, splits),
            ),
            Stage(
                name=RECOGNIZER,
                training=self.config.training,
                build=lambda _: self._build(size),
                feed=lambda splits, _: self._feed(preprocessing, splits),
                unit="recordings",
                metric=Metric("loss", "nats per token"),
            ),
        ]

    def _build(self, vocabulary_size: int) -> LSTMSpeechModel:
        settings = {**self.config.model.model_dump(), "sampling_rate": self.config.data.sampling_rate}
        model = LSTMSpeechModel(vocabulary_size, **settings, name=RECOGNIZER)
        model.build()
        return model

    def _feed_of_texts(self, preprocessing: SpeechPreprocessing, splits: Splits) -> Feed:
        config = self.config
        # Long before they are needed.
        by_group.check(set(splits["test"].texts(GROUP)), config.evaluation.apart, "recordings")
        check_emphasis(set(splits["train"].texts(GROUP)), config.data.emphasis, preprocessing.vocabulary)
        train, validation = (splits[split].ragged(TOKENS) for split in _TRAINED)
        settings = (config.language_model.context, config.language_training, config.evaluation.batch_size)
        return dataclasses.replace(
            language_model.feed(train, validation, *settings, config.data.text_buckets),
            adapt=lambda model: language_model.count(config.language_model, model, train),
        )

    def _feed(self, preprocessing: SpeechPreprocessing, splits: Splits) -> Feed:
        training, data = self.config.training, self.config.data
        boundaries = [round(data.sampling_rate * seconds) for seconds in data.buckets]
        num_frames = self._build(preprocessing.vocabulary.size).num_frames
        audio, rows = {split: splits[split].ragged(AUDIO) for split in _TRAINED}, {}
        for split in _TRAINED:
            every = Examples.of(np.arange(len(splits[split])), splits[split].ragged(TOKENS))
            rows[split] = every.usable(audio[split], boundaries[-1], num_frames).transcripts
            if left_out := len(every) - len(rows[split]):
                longest = f"{data.buckets[-1]:g} s"
                say(f"{left_out:,} {split} recordings are left out: longer than {longest}, or too fast for the frames")
        size, seed = training.batch_size, training.seed
        held_out = {text for split in ("validation", "test") for text in splits[split].texts(TEXT)}
        drawn = emphasised(splits["train"], rows["train"], data.emphasis, preprocessing.vocabulary, held_out, seed)
        drawn = drawn.usable(audio["train"], boundaries[-1], num_frames)
        return Feed(
            train=lambda step, shard: batches.bucketed(audio["train"], drawn, boundaries, size, seed, step, shard),
            validation=self._batches(splits["validation"], rows["validation"]),
            units_per_step=size,
            units=len(drawn),
            samples=functools.partial(self._samples, preprocessing, splits["validation"]),
        )

    def _samples(self, preprocessing: SpeechPreprocessing, store: Store, model: keras.Model) -> list[str]:
        batch = next(iter(self._batches(store, np.arange(len(store))[:_SAMPLES])))
        found = _greedily(model, preprocessing.vocabulary, **batch["x"])
        said = store.texts(TEXT, _SAMPLES)
        return [f"{said[row]} → {text.decode()}" for row, text in zip(batch["id"].numpy(), found.numpy(), strict=True)]

    def _batches(self, store: Store, rows: np.ndarray) -> tf.data.Dataset:
        return batches.in_order(store.ragged(AUDIO), store.ragged(TOKENS), rows, self.config.evaluation.batch_size)

    def evaluate(self, preprocessing: SpeechPreprocessing, splits: Splits, models: Models) -> task.Figures:
        """Returns the error rates of the test split, and those of each group."""
        test, start = splits["test"], time.monotonic()
        found: dict[int, str] = {}
        search = tf.function(self._recognizing(preprocessing, models), reduce_retracing=True, autograph=False)
        number = -(-len(test) // self.config.evaluation.batch_size)
        for batch in counted(self._batches(test, np.arange(len(test))), "the model's transcripts", "batches", number):
            recognized = search(**batch["x"])["text"].numpy()
            found |= dict(zip(batch["id"].numpy().tolist(), (text.decode() for text in recognized), strict=True))
        seconds, written = time.monotonic() - start, [found[index] for index in range(len(test))]
        return {
            **self._figures(test, written),
            "vocabulary_size": preprocessing.vocabulary.size,
            "real_time_factor": seconds * self.config.data.sampling_rate / int(test.ragged(AUDIO).ends[-1]),
            "shown": written[: self.config.evaluation.shown],
        }

    def _recognizing(self, preprocessing: SpeechPreprocessing, models: Models) -> Callable[..., dict[str, tf.Tensor]]:
        """Returns a function from waveforms and their lengths to the results of `recognize`."""
        settings = self.config.evaluation.search.model_dump()
        parts = (models[RECOGNIZER], models[LANGUAGE_MODEL], preprocessing.vocabulary)
        return functools.partial(recognize, *parts, **settings)

    def baselines(self, preprocessing: SpeechPreprocessing, splits: Splits) -> dict[str, task.Figures]:
        """Returns the figures of the most frequent transcript, and of that of the nearest training recording."""
        train, test, most = splits["train"], splits["test"], self.config.evaluation.baseline_recordings
        known = train.texts(TEXT)
        ((frequent, _),) = collections.Counter(known).most_common(1)
        found = {"The most frequent transcript": {**self._figures(test, [frequent] * len(test)), "minutes": 0.0}}
        if most:
            start = time.monotonic()
            model = self._build(preprocessing.vocabulary.size)
            spectrograms = functools.partial(sections.spectrograms, model)
            among = list(spectrograms(train.ragged(AUDIO), min(most, len(train))))
            of = f", first {most:,} recordings" if len(train) > most else ""
            heard = spectrograms(test.ragged(AUDIO), len(test))
            heard = counted(heard, "the nearest recordings", "recordings", len(test))
            nearest = [known[time_warping.nearest(features, among)] for features in heard]
            figures = {**self._figures(test, nearest), "shown": nearest[: self.config.evaluation.shown]}
            found[f"The nearest training recording{of}"] = {**figures, "minutes": (time.monotonic() - start) / 60}
        return found

    def _figures(self, store: Store, written: Sequence[str]) -> task.Figures:
        references, groups = store.texts(TEXT), store.texts(GROUP)

        def of(places):
            ours, theirs = ([some[at] for at in places] for some in (written, references))
            return error_rates.figures(ours, theirs, self.config.evaluation.bootstraps)

        return by_group.figures(groups, self.config.evaluation.apart, of, "recordings")

    def signatures(self, preprocessing: SpeechPreprocessing, models: Models) -> list[Signature]:
        """Returns the signature that writes down what is said in WAV files."""
        rate, longest = self.config.data.sampling_rate, self.config.export.max_seconds
        recognizing = self._recognizing(preprocessing, models)

        def function(audio_bytes):
            return recognizing(*signatures.decoded(audio_bytes, rate, longest))

        return [
            Signature(
                name="serving_default",
                function=function,
                inputs={"audio_bytes": tf.TensorSpec([None], tf.string)},
                example={"audio_bytes": [shortened(preprocessing.example, longest)]},
                doc=f"What is said in each WAV file of at most {longest:g} seconds, and the score of the search: the "
                "log-probability of the text given the audio, the weighted one of the language model and the bonus of "
                "the tokens.",
                bounds={"audio_bytes": Bound(max_bytes=self.config.export.max_bytes)},
            )
        ]

    def about_comparison(self, results: Mapping[str, Any]) -> list[str]:
        """Returns a paragraph on how the recordings were recognised and measured."""
        figures, evaluation = results["model"], self.config.evaluation
        low, high = figures["wer_interval"]
        apart = f" The groups {', '.join(evaluation.apart)} are not counted in it." if evaluation.apart else ""
        return [
            f"Word error rate of {figures['recordings']:,} test recordings with {figures['words']:,} words; {low:.1f} "
            f"to {high:.1f} in 95% of {evaluation.bootstraps:,} bootstrap samples of the recordings.{apart} The texts "
            f"come from a beam of {evaluation.search.num_beams} prefixes, with the language model's log-probability "
            f"times {evaluation.search.language_model_weight:g} and {evaluation.search.token_bonus:g} for each "
            "character. The nearest training recording has the smallest distance by dynamic time warping of normalised "
            "log-mel spectrograms."
        ]

    def showcase(self, finished: task.Finished[SpeechPreprocessing]) -> list[Section]:
        """Returns the table of the first test recordings, players for them, and the alignment of the first."""
        shown = finished.results["model"]["shown"]
        if not shown:
            return []
        test, rate = finished.splits["test"], self.config.data.sampling_rate
        neighbours = [figures["shown"] for figures in finished.results["baselines"].values() if "shown" in figures]
        words, audio = finished.preprocessing.vocabulary, test.ragged(AUDIO)
        return [
            sections.transcripts(test.texts(TEXT, len(shown)), shown, *neighbours),
            sections.players([test.ids[index] for index in range(len(shown))], shown, audio, rate),
            sections.alignment(finished.models[RECOGNIZER], words, audio[0], rate, test.ids[0]),
        ]
