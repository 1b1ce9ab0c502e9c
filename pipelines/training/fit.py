"""Training of a stage, new or resumed, to its end."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from ikelos.layers.models.one_device import check_one_device
from ikelos.pipelines import recipe
from ikelos.pipelines.console import console
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training import checkpoint
from ikelos.pipelines.training.board import FOLDER, Board
from ikelos.pipelines.training.checkpoint import Checkpoints
from ikelos.pipelines.training.epoch import finish_epoch
from ikelos.pipelines.training.errors import Terminated
from ikelos.pipelines.training.history import History
from ikelos.pipelines.training.interruption import Interrupted, Interruption
from ikelos.pipelines.training.optimizers import Optimizers, build, compile_model, use_averages, variables
from ikelos.pipelines.training.profile import Profile
from ikelos.pipelines.training.progress import Progress
from ikelos.pipelines.training.stage import Feed, Models, Stage, keras_batches
from ikelos.pipelines.training.start import Start
from ikelos.pipelines.training.state import State
from ikelos.pipelines.training.steps import Run, Steps


def fit(stage: Stage, splits: Splits, models: Models, folder: Path, start: Start | None = None) -> keras.Model:
    """Trains the stage with `keras.Model.fit` and returns the model with its averaged weights.

    Everything is written to `folder`: `checkpoints/`, `history.jsonl`, `pictures/`, `tensorboard/`. Called again after
    a kill, a crash or a signal, it resumes from the newest checkpoint and ends with the same weights as an
    uninterrupted run, bitwise if `training.deterministic`. Called again after the end, it trains nothing. With early
    stopping, the returned weights are those of the best epoch.

    With more steps than before, training continues to the new total, whether it was finished or not. From there on the
    learning rate follows the schedule of the new total: after a finished training it jumps up to the value that this
    schedule has at that step, then decays again. So the weights differ from those of an uninterrupted run of the same
    length.

    Args:
        stage: The stage to train.
        splits: The data; the stage's feed is made only if there is something to train.
        models: The models of the previous stages.
        folder: Folder of this stage.
        start: The run that gives a new model its initial weights; None to train from scratch.

    Returns:
        The trained model.

    Raises:
        NotFinite: If the loss, a gradient or a weight became NaN or infinite.
        Terminated: If SIGTERM or SIGINT came; the current step was finished and everything saved.
        UserError: If a checkpoint is of another model, other settings or a longer training, or cannot be read; the run
            to start from has another architecture; the data ended early; or `floatx` of Keras is not float32.
        ValueError: If the scope of a `tf.distribute` strategy is open.
        OSError: If the disk is full, or the folder cannot be written.
    """
    feed = None if checkpoint.exists(folder / "checkpoints") else stage.feed(splits, models)

    def initialize(model):
        if feed is not None and feed.initialize is not None:
            feed.initialize(model)
        if start is not None:
            start.copy_to(model, stage.name)
        if feed is not None and feed.adapt is not None:
            feed.adapt(model)

    model, optimizers, state, checkpoints = _restored(stage, models, folder, None if feed is None else initialize)
    if not state.finished:
        _train(stage, feed or stage.feed(splits, models), folder, model, optimizers, state, checkpoints)
    return _final(model, optimizers, state, checkpoints)


def restore(stage: Stage, models: Models, folder: Path) -> keras.Model:
    """Loads the model that `fit` returned from its folder. Reads no data.

    Raises:
        UserError: If the training of the stage is not finished, or as for `fit`.
    """
    model, optimizers, state, checkpoints = _restored(stage, models, folder)
    if not state.finished:
        raise UserError(
            f"The training in {folder} is not finished: it is at step {state.step} of {stage.training.steps}. "
            "Run its recipe in the same folder to continue it."
        )
    return _final(model, optimizers, state, checkpoints)


def _restored(
    stage: Stage, models: Models, folder: Path, initialize: Callable[[keras.Model], None] | None = None
) -> tuple[keras.Model, Optimizers, State, Checkpoints]:
    """Returns the compiled model, new or with its newest checkpoint, and its optimizers, state and checkpoints."""
    training = stage.training
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
    # Set here, so that the weights depend on the seed alone and not on random numbers drawn before in this process.
    keras.utils.set_random_seed(training.seed)
    if keras.config.floatx() != "float32":
        raise UserError(
            "`floatx` of Keras, in the file keras.json, must be 'float32': the numbers in recipes are for it. "
            f"Received: floatx={keras.config.floatx()!r}"
        )
    model = stage.build(models)
    check_one_device(model)
    if initialize is not None:
        initialize(model)
    optimizers = build(training, model)
    compile_model(model, optimizers, stage.loss, training.jit_compile)
    settings = dict(recipe.leaves(training.model_dump(mode="json", exclude={*training.FREE, *training.GROWING})))
    checkpoints = Checkpoints(folder / "checkpoints", settings)
    state = checkpoints.restore(variables(model, optimizers))
    state.planned = state.planned or training.steps
    if state.planned > training.steps:
        raise UserError(
            f"`steps` must be at least {state.planned}, as before in {folder}. Received: steps={training.steps}"
        )
    state.finished &= state.planned == training.steps
    return model, optimizers, state, checkpoints


def _final(model: keras.Model, optimizers: Optimizers, state: State, checkpoints: Checkpoints) -> keras.Model:
    everything = variables(model, optimizers)
    if state.best_step is not None and checkpoints.load(everything, state.best_step) is None:
        raise UserError(f"The best checkpoint {checkpoints.path(state.best_step)} is damaged.")
    use_averages(optimizers)
    return model


def _train(
    stage: Stage,
    feed: Feed,
    folder: Path,
    model: keras.Model,
    optimizers: Optimizers,
    state: State,
    checkpoints: Checkpoints,
) -> None:
    training = stage.training
    checkpoints.check_room(variables(model, optimizers))
    history = History(folder / "history.jsonl", state.step, state.epochs)
    with contextlib.ExitStack() as stack:
        stack.callback(history.close)
        if state.planned < training.steps:
            console().print(
                f"{stage.name}: continuing to step {training.steps:,} instead of {state.planned:,}, with the learning "
                f"rate of a schedule of {training.steps:,} steps",
                soft_wrap=True,
            )
            record = {"event": "longer", "step": state.step, "epoch": state.epochs, "seconds": state.seconds}
            history.append(record | {"planned": state.planned, "steps": training.steps})
            state.planned, state.wait = training.steps, 0
            checkpoints.save(variables(model, optimizers), state)
        elif not checkpoints.steps():  # so that a good checkpoint exists from the first step on
            checkpoints.save(variables(model, optimizers), state)
        board = Board(folder, history.records)
        stack.callback(board.close)
        profile = Profile(folder / FOLDER, training.profile_steps, training.jit_compile)
        stack.callback(profile.close)
        progress = stack.enter_context(
            Progress(stage.name, stage.unit, stage.metric, optimizers, state.step, training.steps)
        )
        interruption = stack.enter_context(Interruption())
        run = Run(
            stage, feed, folder, model, optimizers, state, checkpoints, history, board, profile, progress, interruption
        )
        try:
            while not state.finished:
                _train_epoch(run)
                finish_epoch(run)
            interruption.check()
        except Interrupted as interrupted:
            run.save()
            raise Terminated(interrupted.number, state.step, training.steps) from None


def _train_epoch(run: Run) -> None:
    """Trains the remaining steps of the epoch.

    Keras's `fit` is called once for each epoch, so that an interrupted epoch is not a special case: its second call is
    only shorter, and ends on the same step.
    """
    state, training = run.state, run.stage.training
    end = min((state.validated // training.steps_per_epoch + 1) * training.steps_per_epoch, training.steps)
    if state.step == end:  # stopped by a signal between the last step and the end of the validation
        return
    run.model.fit(
        keras_batches(run.feed.train(state.step, WHOLE)),
        steps_per_epoch=end - state.step,
        shuffle=False,
        verbose=0,
        callbacks=[Steps(run, end)],
    )
    if state.step < end:
        raise UserError(
            f"The training data of stage {run.stage.name!r} ended at step {state.step} of {training.steps}."
        )
