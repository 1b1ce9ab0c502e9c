"""What happens between two epochs."""

import math
from typing import Any

import tensorflow as tf

from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.optimizer import averaged
from ikelos.pipelines.training.stage import Samples, triples
from ikelos.pipelines.training.steps import Run
from ikelos.serving import files


def finish_epoch(run: Run) -> None:
    """Validates the averaged weights, writes the epoch down, decides whether to go on, and saves.

    Raises:
        NotFinite: The validation loss is NaN or infinite.
        Interrupted: A signal came before the end; nothing has changed then.
    """
    state, training = run.state, run.training
    with averaged(run.model):
        validation = _validation(run)
        samples = run.stage.samples(run.model) if run.stage.samples else []
    loss = validation["validation_loss"]
    if not math.isfinite(loss):
        raise NotFinite(f"Step {state.step}: the validation loss is {loss}. {run.checkpoints.last_good()}")
    begin = state.epochs * training.steps_per_epoch
    state.epochs += 1
    record = {
        "event": "epoch",
        "step": state.step,
        "epoch": state.epochs,
        "loss": state.epoch_loss / (state.step - begin),
        **validation,
        "seconds": state.seconds,
        "units": state.step * run.stage.units_per_step,
        **_kept(run, samples),
    }
    state.epoch_loss = 0.0
    state.finished = state.step == training.steps
    if training.early_stop_patience:
        _consider_stopping(run, loss)
    run.record(record)
    run.checkpoints.save(run.model, state)


def _validation(run: Run) -> dict[str, float]:
    """`validation_loss`, the mean over everything that the validation set counts, and the model's own metrics of it.

    Not by Keras's `evaluate`, which weighs each batch's loss by its rows, however much of them is padding. Nor by
    `test_on_batch`, which begins the metrics anew: a number of active units is no mean of those of batches. A signal
    ends it; the run that continues simply does it again.
    """
    model = run.model
    (batch_loss,) = (metric for metric in model.metrics if metric.name == "loss")
    model.make_test_function()
    model.reset_metrics()
    total = counted = 0.0
    for batch in triples(run.stage.validation):
        batch_loss.reset_state()
        logs = model.test_function(iter([batch]))
        weight = float(tf.reduce_sum(batch[2]))
        total += weight * float(logs["loss"])
        counted += weight
        run.interruption.check()
    return {f"validation_{name}": float(value) for name, value in logs.items()} | {"validation_loss": total / counted}


def _kept(run: Run, samples: Samples) -> dict[str, Any]:
    """What a record says of the samples: texts themselves, of a picture its file in the stage's folder."""
    if isinstance(samples, list):
        return {"samples": samples}
    path = run.folder / "pictures" / f"step-{run.state.step:08d}.png"
    path.parent.mkdir(exist_ok=True)
    with files.writing(path) as file:
        file.write(tf.io.encode_png(samples).numpy())
    return {"picture": str(path.relative_to(run.folder))}


def _consider_stopping(run: Run, loss: float) -> None:
    state = run.state
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.wait = loss, state.step, 0
        return
    state.wait += 1
    state.finished |= state.wait >= run.training.early_stop_patience
