"""What happens between two epochs."""

import math

import keras

from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.interruption import Interruption
from ikelos.pipelines.training.optimizer import averaged
from ikelos.pipelines.training.stage import triples
from ikelos.pipelines.training.steps import Run


class _Interruptible(keras.callbacks.Callback):
    """Lets a signal end a validation, which is simply done again by the run that continues."""

    def __init__(self, interruption: Interruption):
        super().__init__()
        self._interruption = interruption

    def on_test_batch_end(self, batch, logs=None):
        self._interruption.check()


def finish_epoch(run: Run) -> None:
    """Validates the averaged weights, writes the epoch down, decides whether to go on, and saves.

    Raises:
        NotFinite: The validation loss is NaN or infinite.
        Interrupted: A signal came before the end; nothing has changed then.
    """
    state, training = run.state, run.training
    with averaged(run.model):
        callbacks = [_Interruptible(run.interruption)]
        logs = run.model.evaluate(triples(run.stage.validation), verbose=0, return_dict=True, callbacks=callbacks)
        samples = run.stage.samples(run.model) if run.stage.samples else []
    loss = logs["loss"]
    if not math.isfinite(loss):
        raise NotFinite(f"Step {state.step}: the validation loss is {loss}. {run.checkpoints.last_good()}")
    begin = state.epochs * training.steps_per_epoch
    state.epochs += 1
    record = {
        "event": "epoch",
        "step": state.step,
        "epoch": state.epochs,
        "loss": state.epoch_loss / (state.step - begin),
        "validation_loss": loss,
        "seconds": state.seconds,
        "tokens": state.step * run.stage.tokens_per_step,
        "samples": samples,
    }
    state.epoch_loss = 0.0
    state.finished = state.step == training.steps
    if training.early_stop_patience:
        _consider_stopping(run, loss)
    run.record(record)
    run.checkpoints.save(run.model, state)


def _consider_stopping(run: Run, loss: float) -> None:
    state = run.state
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.wait = loss, state.step, 0
        return
    state.wait += 1
    state.finished |= state.wait >= run.training.early_stop_patience
