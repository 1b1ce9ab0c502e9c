"""The run in TensorBoard."""

from pathlib import Path

import tensorflow as tf

from ikelos.pipelines.training.history import Record


class Board:
    """Draws records of the history in TensorBoard, and profiles steps into the same folder.

    A resumed run draws the kept records anew in place of its old files, since TensorBoard would show the
    steps that are trained twice as a curve that goes back.
    """

    def __init__(self, folder: Path, kept: list[Record], profile_steps: tuple[int, int] | None):
        """Draws the `kept` records, in `tensorboard/` of the stage's folder."""
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
        """Adds a record's numbers as curves, its samples as text and its picture as an image; "longer" has none."""
        if record["event"] == "longer":
            return
        with self._writer.as_default(step=record["step"]):
            for name, value in record.items():
                if name == "samples":
                    if value:  # of no texts, TensorFlow cannot tell that they are texts
                        tf.summary.text(name, value)
                elif name == "picture":
                    if (self._stage / value).is_file():  # a user may have taken old ones away
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
        """Writes the profile at the last of them."""
        if step == self._last:
            self._stop_profiling()

    def close(self) -> None:
        """Ends what is under way."""
        self._stop_profiling()
        self._writer.close()

    def _stop_profiling(self) -> None:
        if self._profiling:
            self._profiling = False
            tf.profiler.experimental.stop()
