"""Logging of a stage's training to TensorBoard."""

from pathlib import Path

import tensorflow as tf

from ikelos.pipelines.training.history import Record


class Board:
    """Writer of the records of the history and of profiles for TensorBoard.

    A resumed run deletes its old files and writes the kept records again: otherwise the curves would run backwards
    where steps are trained twice.
    """

    def __init__(self, folder: Path, kept: list[Record], profile_steps: tuple[int, int] | None):
        """Writes the `kept` records to `tensorboard/` in the stage's folder."""
        self._stage = folder
        self._folder = folder / "tensorboard"
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = tf.summary.create_file_writer(str(self._folder))
        self._first, self._last = profile_steps or (0, 0)
        self._profiling = False
        for record in kept:
            self.draw(record)

    def draw(self, record: Record) -> None:
        """Adds a record's numbers as curves, its samples as text and its picture as an image; skips "longer" events."""
        if record["event"] == "longer":
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

    def before(self, step: int) -> None:
        """Starts the profiler at the first of the steps to profile."""
        if step == self._first:
            tf.profiler.experimental.start(str(self._folder))
            self._profiling = True

    def after(self, step: int) -> None:
        """Stops the profiler and writes the profile after the last of the steps to profile."""
        if step == self._last:
            self._stop_profiling()

    def close(self) -> None:
        """Stops the profiler if it is running, and closes the writer."""
        self._stop_profiling()
        self._writer.close()

    def _stop_profiling(self) -> None:
        if self._profiling:
            self._profiling = False
            tf.profiler.experimental.stop()
