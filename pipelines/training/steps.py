"""The callback after each training step: counting, records, checkpoints and checks."""

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
from ikelos.pipelines.training.profile import Profile
from ikelos.pipelines.training.progress import Progress
from ikelos.pipelines.training.stage import Feed, Stage
from ikelos.pipelines.training.state import EMPTY_SUMS, State

LOG_EVERY = 10  # steps: a line of the history and a point in TensorBoard


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that belongs to one call of `fit`: the stage, its state, and the outputs."""

    stage: Stage
    feed: Feed
    folder: Path
    model: keras.Model
    optimizers: Optimizers
    state: State
    checkpoints: Checkpoints
    history: History
    board: Board
    profile: Profile
    progress: Progress
    interruption: Interruption

    def record(self, record: Record) -> None:
        """Writes a record to the history, TensorBoard and the terminal."""
        self.history.append(record)
        self.board.draw(record)
        self.progress.show(record)

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables in a checkpoint."""
        return variables(self.model, self.optimizers)

    def save(self) -> None:
        """Writes a checkpoint."""
        self.checkpoints.save(self.variables, self.state)


class Steps(keras.callbacks.Callback):
    """Keras callback that counts the steps, stops at a NaN, and regularly writes a record and a checkpoint.

    In each step, only three scalars of each optimizer are read: its loss, its gradient norm and its number of updates.
    Reading the first of them waits for the step to end.
    """

    def __init__(self, run: Run, end: int):
        """Initialises the callback; `end` is the epoch's last step, whose checkpoint the end of the epoch writes."""
        super().__init__()
        self._run = run
        self._end = end

    def on_train_begin(self, logs=None):
        """Starts the timer."""
        self._time = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        """Starts the profiler if the step is to be profiled."""
        self._run.profile.before(self._run.state.step + 1)

    def on_train_batch_end(self, batch, logs=None):
        """Counts the step, and writes a record or a checkpoint if one is due."""
        run, state = self._run, self._run.state
        self._count()
        run.progress.advance()
        if profile := run.profile.after(state.step):
            run.record(profile | {"seconds": state.seconds})
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
            if updates == sums["updates_before"]:  # one of several optimizers may skip a step
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
    """Returns a record with the means since the last one, and resets the sums."""
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
    """Returns an error that says which numbers of a step are not finite."""
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
