"""Report sections of speech recognition."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from ikelos.pipelines.audio.pcm import to_waveform, wav_file
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.report import charts
from ikelos.pipelines.report.palette import LIGHT
from ikelos.pipelines.report.sections import Column, Picture, Recording, Recordings, Table
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import PAD

_STRIDE = 4
"""One of so many frames is kept to compare recordings, as in the network."""
_ALIGNED_SECONDS = 8
"""Longest part of a recording whose alignment is drawn."""


def spectrograms(model: keras.Model, audio: Ragged, most: int) -> Iterator[np.ndarray]:
    """Yields the normalised log-mel spectrograms `[T,M]` of the first recordings, every fourth frame."""
    for index in range(most):
        samples = to_waveform(audio[index])[None]
        found, _ = model.spectrogram({"audio": tf.constant(samples), "length": tf.constant([samples.shape[1]])})
        yield found.numpy()[0, ::_STRIDE]


def transcripts(said: list[str], heard: list[str], *neighbours: list[str]) -> Table:
    """Returns the table of what was said in the first recordings, what the model heard, and, if known, what is said in
    the nearest training recordings."""
    columns = [Column("Said"), Column("Model"), *[Column("Nearest training recording") for _ in neighbours]]
    return Table(
        heading="Transcripts",
        prose=[f"The first {len(said)} recordings of the test split, not selected."],
        columns=columns,
        rows=[list(row) for row in zip(said, heard, *neighbours, strict=True)],
    )


def players(names: list[str], texts: list[str], audio: Ragged, rate: int) -> Recordings:
    """Returns the section with the first recordings to listen to, each with its name and a text."""
    return Recordings(
        heading="Recordings",
        prose=[f"The first {len(names)} recordings of the test split, not selected, and what the model heard."],
        recordings=[
            Recording(name, text, wav_file(audio[index], rate))
            for index, (name, text) in enumerate(zip(names, texts, strict=True))
        ],
    )


def alignment(model: keras.Model, words: Vocabulary, samples: np.ndarray, rate: int, name: str) -> Picture:
    """Returns the section with the spectrogram of a recording, and the probability of each character over time.

    Args:
        model: Model such as `ikelos.layers.LSTMSpeechModel`.
        words: Its vocabulary.
        samples: int16 `[L]`, at least one frame; its beginning is drawn.
        rate: Samples per second.
        name: Name of the recording.
    """
    samples = samples[: _ALIGNED_SECONDS * rate]
    inputs = {"audio": tf.constant(to_waveform(samples)[None]), "length": tf.constant([len(samples)])}
    spectrogram = model.spectrogram(inputs)[0].numpy()[0]
    probabilities = tf.nn.softmax(model(inputs, training=False)[0]).numpy()
    seconds = len(samples) / rate
    with charts.style():
        figure = Figure(figsize=(7.4, 4.2), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        above.imshow(
            spectrogram.T, origin="lower", aspect="auto", extent=(0, seconds, 0, spectrogram.shape[1]), cmap="Greys"
        )
        above.set(ylabel="mel band", title="Spectrogram")
        above.grid(visible=False)
        times = (np.arange(len(probabilities)) + 0.5) * seconds / len(probabilities)
        best = probabilities.argmax(axis=-1)
        below.plot(times, 1 - probabilities[:, PAD], color=LIGHT["ours"])
        for place in np.flatnonzero((best != PAD) & (best != np.append(PAD, best[:-1]))):
            character = words.decode(tf.constant([[best[place]]])).numpy()[0].decode()
            below.annotate(character.replace(" ", "␣"), (times[place], 1.03), ha="center", annotation_clip=False)
        below.set(xlabel="seconds", ylabel="probability", ylim=(0, 1.15), title="A character, and which one")
    return Picture(
        heading="What was heard when",
        prose=[
            f"The normalised log-mel spectrogram of “{name}”, a test recording, and the probability that a frame "
            "writes a character instead of nothing (the blank of CTC). The letters are those of the likeliest path, at "
            "the frames where it writes them; ␣ is a space."
        ],
        figure=figure,
        alt="A spectrogram, and below it the letters that the network wrote at each time.",
    )
