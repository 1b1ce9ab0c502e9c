"""The end of an epoch: validation, records, early stopping and the checkpoint."""

import math
from typing import Any

import keras
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.history import key
from ikelos.pipelines.training.optimizers import averaged
from ikelos.pipelines.training.stage import Samples, keras_batches
from ikelos.pipelines.training.steps import Run
from ikelos.serving import files


def finish_epoch(run: Run) -> None:
    """Validates the averaged weights, records the epoch, decides whether training is finished, and saves.

    Raises:
        NotFinite: If the validation metric, or a variable to be saved, is NaN or infinite.
        ValueError: If the model does not have the stage's metric, or there is no validation data.
        UserError: If the training has been in trouble for `trouble_patience` epochs.
        Interrupted: If a signal came during the validation; nothing has changed then.
    """
    state, training = run.state, run.stage.training
    with averaged(run.model, run.optimizers):
        validation = _validation(run)
        samples = run.feed.samples(run.model) if run.feed.samples else []
    name = run.stage.metric.name
    if f"validation_{name}" not in validation:
        raise ValueError(
            f"`metric` of stage {run.stage.name!r} must be one of "
            f"{', '.join(figure.removeprefix('validation_') for figure in validation)}. Received: metric={name!r}"
        )
    if not math.isfinite(validation[f"validation_{name}"]):
        raise NotFinite(
            f"Step {state.step}: the validation {name} is {validation[f'validation_{name}']}. "
            f"{run.checkpoints.last_good()}"
        )
    state.epochs, state.validated = state.epochs + 1, state.step
    units = state.step * run.feed.units_per_step
    record = {
        "event": "epoch",
        "step": state.step,
        "epoch": state.epochs,
        **_mean_losses(run),
        **validation,
        "seconds": state.seconds,
        "units": units,
        "passes": units / run.feed.units,
        **_kept(run, samples),
    }
    state.finished = state.step == training.steps
    if training.early_stop_patience:
        _consider_stopping(run, validation[f"validation_{name}"])
    trouble = run.stage.trouble(record) if run.stage.trouble else None
    state.troubled = state.troubled + 1 if trouble else 0
    run.record(record)
    run.save()
    if trouble and run.stage.trouble_patience and state.troubled >= run.stage.trouble_patience:
        raise UserError(f"Step {state.step} of stage {run.stage.name!r}, for {state.troubled} epochs: {trouble}.")


def _mean_losses(run: Run) -> dict[str, float]:
    """Returns the mean loss of the epoch's updates for each optimizer, and resets the sums."""
    losses = {}
    for name in run.optimizers:
        sums = run.state.sums_of(name)
        losses[key(name, "loss")] = sums["epoch_loss"] / max(sums["epoch_updates"], 1)
        sums |= {"epoch_loss": 0.0, "epoch_updates": 0}
    return losses


def _validation(run: Run) -> dict[str, float]:
    """Returns `validation_loss`, the weighted mean over the validation data, and the model's other metrics.

    A model without a single loss, such as a pair of adversaries, has only its metrics.

    Keras's `evaluate` is not used because it weights a batch's loss by its rows, even if most of them are padding.
    `test_on_batch` is not used because it resets the metrics for each batch: a number of active units is not the mean
    over the batches. A signal aborts the validation; a resumed run repeats it.
    """
    model = run.model
    losses = [metric for metric in model.metrics if metric.name == "loss"]
    model.make_test_function()
    model.reset_metrics()
    total = counted = 0.0
    for batch in keras_batches(run.feed.validation):
        for loss in losses:
            loss.reset_state()
        logs = model.test_function(iter([batch]))
        weight = _weight(batch)
        total += weight * float(logs["loss"]) if losses else 0.0
        counted += weight
        run.interruption.check()
    if not counted:
        raise ValueError(
            f"`validation` of stage {run.stage.name!r} must have examples that count. Received: a weight of 0"
        )
    figures = {f"validation_{name}": float(value) for name, value in logs.items()}
    return figures | ({"validation_loss": total / counted} if losses else {})


def _weight(batch: Any) -> float:
    """Returns the weight of a batch: the sum of its sample weights, or else its number of rows."""
    x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    return float(len(tf.nest.flatten(x)[0]) if sample_weight is None else tf.reduce_sum(sample_weight))


def _kept(run: Run, samples: Samples) -> dict[str, Any]:
    """Returns the record's entry for the samples: the texts, or the path of the picture in the stage's folder."""
    if isinstance(samples, list):
        return {"samples": samples}
    path = run.folder / "pictures" / f"step-{run.state.step:08d}.png"
    path.parent.mkdir(exist_ok=True)
    with files.writing(path) as file:
        file.write(tf.io.encode_png(samples).numpy())
    return {"picture": str(path.relative_to(run.folder))}


def _consider_stopping(run: Run, value: float) -> None:
    state = run.state
    if run.stage.metric.improves(value, state.best):
        state.best, state.best_step, state.wait = value, state.step, 0
        return
    state.wait += 1
    state.finished |= state.wait >= run.stage.training.early_stop_patience
