"""What happens between two training steps."""

import dataclasses
import math
import time
from pathlib import Path

import keras
import numpy as np

from ikelos.pipelines.training.board import Board
from ikelos.pipelines.training.checkpoint import Checkpoints
from ikelos.pipelines.training.diagnosis import first_bad_layer
from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.history import History, Record, key
from ikelos.pipelines.training.interruption import Interruption
from ikelos.pipelines.training.optimizers import Optimizers, variables
from ikelos.pipelines.training.progress import Progress
from ikelos.pipelines.training.stage import Feed, Stage
from ikelos.pipelines.training.state import EMPTY_SUMS, State

LOG_EVERY = 10  # steps: a line of the history and a point in TensorBoard


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of `fit`: what is trained, how far it is, and where that is written down."""

    stage: Stage
    feed: Feed
    folder: Path
    model: keras.Model
    optimizers: Optimizers
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

    @property
    def variables(self) -> list[keras.Variable]:
        """All that a checkpoint holds."""
        return variables(self.model, self.optimizers)

    def save(self) -> None:
        """Writes a checkpoint."""
        self.checkpoints.save(self.variables, self.state)


class Steps(keras.callbacks.Callback):
    """After each step: count it, stop at a NaN, and now and then write a record and a checkpoint.

    Only three scalars of each optimizer are read each step: its loss, its gradient's norm and how often it has moved
    the weights. The first of them waits for the step to end.
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
        run.progress.advance()
        if state.step % LOG_EVERY == 0:
            run.record(_step_record(run))
        if state.step % run.stage.training.checkpoint_every == 0 and state.step != self._end:
            run.save()
        run.interruption.check()

    def _count(self):
        state = self._run.state
        for name, optimizer in self._run.optimizers.items():
            loss, norm = float(optimizer.loss.numpy()), float(optimizer.gradient_norm.numpy())
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise _not_finite(self._run, state.step + 1)
            sums, updates = state.sums_of(name), int(optimizer.iterations.numpy())
            if updates == sums["updates_before"]:  # one of several optimizers may rest in a step
                continue
            sums["updates_before"] = updates
            sums["updates"] += 1
            sums["loss"] += loss
            sums["norm"] += norm
            sums["norm_max"] = max(sums["norm_max"], norm)
            sums["epoch_updates"] += 1
            sums["epoch_loss"] += loss
        now = time.perf_counter()
        state.step += 1
        state.seconds += now - self._time
        state.window_steps += 1
        state.window_seconds += now - self._time
        self._time = now


def _step_record(run: Run) -> Record:
    """The means since the last record, and fresh sums."""
    state = run.state
    record: Record = {"event": "step", "step": state.step}
    for name, optimizer in run.optimizers.items():
        sums, clipped = state.sums_of(name), int(optimizer.clipped_steps.numpy())
        updates = max(sums["updates"], 1)
        figures = {
            "loss": sums["loss"] / updates,
            "learning_rate": float(optimizer.rate.numpy()),
            "gradient_norm": sums["norm"] / updates,
            "gradient_norm_max": sums["norm_max"],
            "clipped": (clipped - sums["clipped_before"]) / updates,
        }
        record |= {key(name, what): value for what, value in figures.items()}
        kept = {name: sums[name] for name in ("updates_before", "epoch_updates", "epoch_loss")}
        state.sums[name] = EMPTY_SUMS | kept | {"clipped_before": clipped}
    record["units_per_second"] = state.window_steps * run.feed.units_per_step / state.window_seconds
    record["seconds"] = state.seconds
    state.window_steps, state.window_seconds = 0, 0.0
    return record


def _not_finite(run: Run, step: int) -> NotFinite:
    """Says which numbers of a step are not finite."""
    found = []
    for name, optimizer in run.optimizers.items():
        loss, norms = float(optimizer.loss.numpy()), optimizer.gradient_norms.numpy()
        pairs = zip(optimizer.trained, norms, strict=True)
        paths = [variable.path for variable, norm in pairs if not np.isfinite(norm)]
        if not math.isfinite(loss):
            found.append(f"the {key(name, 'loss')} is {loss}")
        if paths:
            found.append(f"the gradient of {paths[0]!r} is not finite ({len(paths)} of {len(norms)} gradients are not)")
    layer = first_bad_layer(run.feed, run.model, run.variables, run.checkpoints, step)
    if layer:
        found.insert(0, f"the output of layer {layer!r} is not finite")
    found = found or ["the norm of the gradient overflows"]
    return NotFinite(f"Step {step} of stage {run.stage.name!r}: {', '.join(found)}. {run.checkpoints.last_good()}")
