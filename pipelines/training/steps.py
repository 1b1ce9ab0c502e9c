"""What happens between two training steps."""

import dataclasses
import math
import time
from pathlib import Path

import keras
import numpy as np

from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.training.board import Board
from ikelos.pipelines.training.checkpoint import Checkpoints
from ikelos.pipelines.training.diagnosis import first_bad_layer
from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.history import History, Record
from ikelos.pipelines.training.interruption import Interruption
from ikelos.pipelines.training.progress import Progress
from ikelos.pipelines.training.stage import Stage
from ikelos.pipelines.training.state import EMPTY_WINDOW, State

LOG_EVERY = 10  # steps: a line of the history and a point in TensorBoard


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of `fit`: what is trained, how far it is, and where that is written down."""

    stage: Stage
    training: Training
    folder: Path
    model: keras.Model
    state: State
    checkpoints: Checkpoints
    history: History
    board: Board
    progress: Progress
    interruption: Interruption

    def record(self, record: Record) -> None:
        """Writes a record down everywhere."""
        self.history.append(record)
        self.board.draw(record)
        self.progress.show(record)


class Steps(keras.callbacks.Callback):
    """After each step: count it, stop at a NaN, and now and then write a record and a checkpoint.

    Only two scalars are read from the model each step, the loss and the gradient's norm, as any of them
    waits for the step to end.
    """

    def __init__(self, run: Run, end: int):
        """`end` is the epoch's last step: its checkpoint is left to the end of the epoch."""
        super().__init__()
        self._run = run
        self._end = end

    def on_train_begin(self, logs=None):
        """Starts the clock."""
        self._time = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        """Starts the profiler."""
        self._run.board.before(self._run.state.step + 1)

    def on_train_batch_end(self, batch, logs=None):
        """Does what the class says."""
        run, state = self._run, self._run.state
        self._count()
        run.board.after(state.step)
        run.progress.step(state.step)
        if state.step % LOG_EVERY == 0:
            run.record(_step_record(run))
        if state.step % run.training.checkpoint_every == 0 and state.step != self._end:
            run.checkpoints.save(run.model, state)
        run.interruption.check()

    def _count(self):
        run, state, optimizer = self._run, self._run.state, self.model.optimizer
        loss, norm = float(optimizer.loss.numpy()), float(optimizer.gradient_norm.numpy())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise _not_finite(run, state.step + 1, loss)
        now = time.perf_counter()
        state.step += 1
        state.seconds += now - self._time
        state.epoch_loss += loss
        window = state.window
        window["steps"] += 1
        window["seconds"] += now - self._time
        window["loss"] += loss
        window["norm"] += norm
        window["norm_max"] = max(window["norm_max"], norm)
        self._time = now


def _step_record(run: Run) -> Record:
    """The means since the last record, and a fresh window."""
    state, window, optimizer = run.state, run.state.window, run.model.optimizer
    clipped = int(optimizer.clipped_steps.numpy())
    state.window = EMPTY_WINDOW | {"clipped_before": clipped}
    return {
        "event": "step",
        "step": state.step,
        "loss": window["loss"] / window["steps"],
        "learning_rate": float(optimizer.rate.numpy()),
        "gradient_norm": window["norm"] / window["steps"],
        "gradient_norm_max": window["norm_max"],
        "clipped": (clipped - window["clipped_before"]) / window["steps"],
        "units_per_second": window["steps"] * run.stage.units_per_step / window["seconds"],
        "seconds": state.seconds,
    }


def _not_finite(run: Run, step: int, loss: float) -> NotFinite:
    """Says which numbers of a step are not finite."""
    norms = run.model.optimizer.gradient_norms.numpy()
    paths = [v.path for v, norm in zip(run.model.trainable_variables, norms, strict=True) if not np.isfinite(norm)]
    found = [] if math.isfinite(loss) else [f"the loss is {loss}"]
    if paths:
        found.append(f"the gradient of {paths[0]!r} is not finite ({len(paths)} of {len(norms)} gradients are not)")
    elif not found:
        found.append("the norm of the gradient overflows")
    layer = first_bad_layer(run.stage, run.model, run.checkpoints, step)
    if layer:
        found.insert(0, f"the output of layer {layer!r} is not finite")
    return NotFinite(f"Step {step} of stage {run.stage.name!r}: {', '.join(found)}. {run.checkpoints.last_good()}")
