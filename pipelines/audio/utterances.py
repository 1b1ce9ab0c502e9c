"""Reads recordings with transcripts from TensorFlow Datasets or files.

TensorFlow is imported only when recordings are read.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.audio.config import AudioSource
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.data import patterns, sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.line_reader import TABLES, LineReader, lines
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.data.reader import Recorded
from ikelos.pipelines.data.records import Chunk, Record
from ikelos.pipelines.errors import UserError

_AUDIO, _TEXT, _GROUP, _FAULT = "audio", "text", "group", "fault"
"""Features of a record; the audio is a file's bytes."""


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A recording as it was found.

    Attributes:
        name: Stable id: the data set's feature `id`, or the path and the number of the line.
        audio: Path or bytes of an audio file.
        text: The transcript in UTF-8.
        group: The group of the recording; empty if there are none.
        fault: What is wrong with it; empty if nothing is.
        size: Size in the units of `Reader.size`.
    """

    name: str
    audio: Path | bytes
    text: bytes
    group: bytes = b""
    fault: str = ""
    size: int = 1

    @property
    def key(self) -> bytes:
        """The transcript as in `single_spaced`, so that no split has a text of another one; the bytes as they are if
        they are not UTF-8."""
        try:
            return single_spaced(self.text).encode()
        except UnicodeDecodeError:
            return self.text


class Reader(LineReader[AudioSource]):
    """Reader of the recordings of a source."""

    suffixes = (*TABLES, *sources.TFRECORDS)
    divisible = suffixes

    def utterances(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Utterance]:
        """Yields the recordings of a split, or of one chunk of it, after the first `start`, in the same order each
        time.

        Raises:
            UserError: As `identity`, for a broken file, or an example without audio or text.
        """
        if self._source.files is None:
            first, stop = chunk or (0, None)
            yield from self._of_tfds(split, first + start, stop)
            return
        yield from self._in_files(split, chunk, start, self._in_file)

    def identity(self) -> Any:
        """Returns the state of the source as JSON, that of the audio files of tables included; raises as in the base
        class."""
        found = super().identity()
        if self._source.files is None:
            return found
        audio = {
            str(utterance.audio)
            for path in sorted(set(itertools.chain.from_iterable(self.paths.values())))
            if not sources.is_tfrecord(path)
            for utterance in self._in_file(path)
            if not utterance.fault
        }
        return [found, patterns.state(sorted(audio))]

    def _of_tfds(self, split: Split, start: int, stop: int | None) -> Iterator[Utterance]:
        source, features = self._source, self.builder.info.features

        def text_of(example, feature):
            # A class is a number in the example.
            names = getattr(features[feature], "names", None)
            return names[example[feature]].encode() if names else example[feature]

        rate = source.feature_rate or getattr(features[source.audio_feature], "sample_rate", None)
        for name, example in sources.examples(source, self.builder, split, start, stop):
            text = text_of(example, source.text_feature)
            group = b"" if source.group_feature is None else text_of(example, source.group_feature)
            audio = example[source.audio_feature]
            if rate is None:
                yield Utterance(name, audio, text, group)
                continue
            samples = np.asarray(audio)
            # The samples of TensorFlow Datasets are those of the files, mostly as int64.
            if samples.size and not -(1 << 15) <= int(samples.min()) <= int(samples.max()) < 1 << 15:
                yield Utterance(name, b"", text, group, fault="has samples of more than 16 bits")
            else:
                yield Utterance(name, wav_file(samples.astype(np.int16), rate), text, group)

    def _in_file(self, path: str) -> Iterator[Utterance]:
        source = self._source
        if sources.is_tfrecord(path):
            for name, features in sources.records(path):
                audio, text = (
                    sources.one_bytes(name, features, feature)
                    for feature in (source.audio_feature, source.text_feature)
                )
                group = b"" if source.group_feature is None else sources.one_bytes(name, features, source.group_feature)
                yield Utterance(name, audio, text, group, size=len(audio))
            return
        for number, line in enumerate(lines(path), 1):
            name, parts = f"{printable_path(path)}:{number}", line.split(b"\t")
            file = Path(os.path.dirname(path), os.fsdecode(parts[0]))
            if len(parts) != 2:
                fault = f"has {len(parts) - 1} tabs, not one"
            else:
                fault = "" if file.is_file() else f"names a file that does not exist: {printable_path(str(file))}"
            yield Utterance(name, file, parts[-1], fault=fault, size=len(line) + 1)

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the recordings of a chunk as `Record`s with the bytes of their files."""
        for found in self.utterances(split, chunk=chunk):
            audio = b"" if found.fault else file_bytes(found.audio)
            features = {_AUDIO: audio, _TEXT: found.text, _GROUP: found.group, _FAULT: found.fault.encode()}
            yield Record(found.name, features)

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError unless the features that the recipe names are audio and texts of the data set."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        def check(key, kind, fits):
            name = getattr(self._source, key)
            fitting = [other for other, feature in features.items() if fits(feature)]
            if name not in fitting:
                raise UserError(
                    f"`data.source.{key}` must name a feature of {self._source.tfds} with {kind}: "
                    f"{', '.join(fitting) or 'it has none'} (of {', '.join(features)}). Received: {name}"
                )

        def is_file(feature):
            return feature.get_tensor_spec() == tf.TensorSpec((), tf.string)

        def is_audio(feature):
            spec = feature.get_tensor_spec()
            return is_file(feature) or (
                isinstance(spec, tf.TensorSpec) and spec.shape.rank == 1 and spec.dtype.is_integer
            )

        def is_text(feature):
            return isinstance(feature, tfds.features.ClassLabel) or is_file(feature)

        check("audio_feature", "audio files, or integer samples of one channel", is_audio)
        check("text_feature", "texts or classes", is_text)
        if self._source.group_feature is not None:
            check("group_feature", "texts or classes", is_text)
        feature = features[self._source.audio_feature]
        known, given = getattr(feature, "sample_rate", None), self._source.feature_rate
        if (given is None) != (is_file(feature) or known is not None):
            raise UserError(
                "`data.source.feature_rate` must be the samples per second if the audio feature has samples and does "
                f"not tell them; else null. Received: feature_rate={given}, in the data set: {known or 'files'}"
            )


class RecordedReader(Recorded[AudioSource], Reader):
    """Reader of recordings in records that `Reader.records` yielded."""

    def utterances(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Utterance]:
        """Yields the recordings of a split after the first `start`; `chunk` is ignored, as `Records.only` has chosen
        it."""
        for record in self._records.read(split, start):
            features: Mapping[str, Any] = record.features
            audio, text, group, fault = (features[name] for name in (_AUDIO, _TEXT, _GROUP, _FAULT))
            yield Utterance(record.name, audio, text, group, fault.decode(), record.size)


def single_spaced(text: bytes) -> str:
    """Returns a text in UTF-8 with one space between two words; raises UnicodeDecodeError."""
    return " ".join(text.decode("utf-8").split())


def file_bytes(audio: Path | bytes) -> bytes:
    """Returns the bytes of an audio file.

    Raises:
        UserError: If the file cannot be read at the moment.
    """
    if isinstance(audio, bytes):
        return audio
    try:
        return audio.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {printable_path(str(audio))}: {error.strerror}") from None
