"""Logging of a stage's training to TensorBoard."""

from pathlib import Path

import tensorflow as tf

from ikelos.pipelines.training.history import Record

FOLDER = "tensorboard"
"""TensorBoard's folder in that of a stage."""


class Board:
    """Writer of the records of the history for TensorBoard.

    A resumed run deletes its old files and writes the kept records again: otherwise the curves would run backwards
    where steps are trained twice.
    """

    def __init__(self, folder: Path, kept: list[Record]):
        """Writes the `kept` records to `FOLDER` in the stage's folder."""
        self._stage = folder
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for old in (folder / FOLDER).glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = tf.summary.create_file_writer(str(folder / FOLDER))
        for record in kept:
            self.draw(record)

    def draw(self, record: Record) -> None:
        """Adds a record's numbers as curves, its samples as text and its picture as an image."""
        if record["event"] not in ("step", "epoch"):  # the others have no curves
            return
        with self._writer.as_default(step=record["step"]):
            for name, value in record.items():
                if name == "samples":
                    if value:  # TensorFlow cannot infer that an empty list holds texts
                        tf.summary.text(name, value)
                elif name == "picture":
                    if (self._stage / value).is_file():  # the user may have deleted old ones
                        picture = tf.io.decode_png((self._stage / value).read_bytes())
                        tf.summary.image(name, picture[None])
                elif name not in ("event", "step", "seconds"):
                    tf.summary.scalar(f"{record['event']}/{name}", value)
            if record["event"] == "epoch":
                self._writer.flush()

    def close(self) -> None:
        """Closes the writer."""
        self._writer.close()
