import json
import math
import os
import random
import re
import shutil
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.pipelines import console
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import AdversarialOptimizers
from ikelos.pipelines.training import progress
from ikelos.pipelines.training.errors import NotFinite, Terminated
from ikelos.pipelines.training.history import read
from ikelos.pipelines.training.stage import keras_batches

TIMES = {"native_ops", "seconds", "units_per_second"}


def history(folder):
    """Returns the history without its times, in which runs may differ."""
    return [{k: v for k, v in r.items() if k not in TIMES} for r in read(folder / "history.jsonl")]


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def final(folder):
    assert (folder / "final.npz").exists(), (folder / "log").read_text()
    with np.load(folder / "final.npz") as file:
        return [file[name] for name in file.files]


@pytest.fixture(scope="module")
def unbroken(trainer, tmp_path_factory):
    """Returns the folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert trainer.run(folder) == 0, (folder / "log").read_text()
    return folder


def assert_same_end(folder, unbroken):
    for value, expected in zip(final(folder), final(unbroken), strict=True):
        np.testing.assert_array_equal(value, expected, strict=True)
    assert history(folder) == history(unbroken)
    assert checkpoints(folder) == checkpoints(unbroken)


def test_a_run_keeps_two_checkpoints_and_a_history_of_every_epoch(unbroken):
    assert checkpoints(unbroken) == ["step-00000018.npz", "step-00000020.npz"]
    records = history(unbroken)
    assert [(r["event"], r["step"]) for r in records] == [
        ("epoch", 8),
        ("profile", 10),
        ("step", 10),
        ("epoch", 16),
        ("step", 20),
        ("epoch", 20),
    ]
    rates = [r["learning_rate"] for r in records if r["event"] == "step"]
    # Warm-up to 0.03 within 4 steps, then a cosine to a tenth of it within 16; the tenth step is the sixth after.
    assert rates[0] == pytest.approx(0.03 * (0.9 * 0.5 * (1 + math.cos(math.pi * 5 / 16)) + 0.1), rel=1e-5)
    epochs = [r for r in records if r["event"] == "epoch"]
    assert [r["units"] for r in epochs] == [8 * 24, 16 * 24, 20 * 24]
    assert epochs[-1]["loss"] < epochs[0]["loss"] < math.log(10) + 1
    assert epochs[0]["samples"] == ["(1, 6, 10)"]


def kill(trainer, folder, **job):
    assert trainer.run(folder, **job) == -signal.SIGKILL, (folder / "log").read_text()


def test_kills_and_damage_change_nothing(trainer, tmp_path, unbroken):
    kill(trainer, tmp_path, signal=[5, signal.SIGKILL])  # within an epoch
    kill(trainer, tmp_path, writing=[8, "amid"])  # half of a checkpoint written, at an epoch's end
    kill(trainer, tmp_path, signal=[11, signal.SIGKILL])
    assert checkpoints(tmp_path) == ["step-00000008.npz", "step-00000009.npz"]
    newest = tmp_path / "checkpoints" / "step-00000009.npz"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert trainer.run(tmp_path) == 0
    assert f"The checkpoint {newest} is damaged" in (tmp_path / "log").read_text()
    assert "continuing after step 8 of 20" in (tmp_path / "log").read_text()
    assert_same_end(tmp_path, unbroken)


@pytest.mark.slow
def test_kills_at_awkward_moments_change_nothing(trainer, tmp_path, unbroken):
    kill(trainer, tmp_path, signal=[2, signal.SIGKILL])  # before the first checkpoint
    kill(trainer, tmp_path, signal=[8, signal.SIGKILL])  # between an epoch's last step and its validation
    kill(trainer, tmp_path, writing=[9, "before"])  # before and after the renaming
    kill(trainer, tmp_path, writing=[12, "after"])
    kill(trainer, tmp_path, signal=[20, signal.SIGKILL])
    assert trainer.run(tmp_path) == 0
    assert_same_end(tmp_path, unbroken)


def test_signals_save_and_the_same_command_continues(trainer, tmp_path, unbroken):
    for job, number, step in [
        ({"signal": [7, signal.SIGTERM]}, signal.SIGTERM, 7),
        ({"signal_in_validation": signal.SIGTERM}, signal.SIGTERM, 8),
        ({"signal": [16, signal.SIGINT]}, signal.SIGINT, 16),  # the epoch is trained, but not validated
    ]:
        assert trainer.run(tmp_path, **job) == 128 + number
        line = f"Stopped by {number.name} at step {step} of 20; the same command continues from there."
        assert line in (tmp_path / "log").read_text()
        assert checkpoints(tmp_path)[-1] == f"step-{step:08d}.npz"
    assert trainer.run(tmp_path) == 0
    assert_same_end(tmp_path, unbroken)


@pytest.mark.slow
def test_twenty_random_kills_change_nothing(trainer, tmp_path):
    changes = {"steps": 400, "steps_per_epoch": 60, "checkpoint_every": 7}
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def timed(folder, **job):
        start = time.perf_counter()
        code = trainer.run(folder, training=changes, **job)
        return code, time.perf_counter() - start

    assert trainer.run(whole, training=changes) == 0
    _, longest = timed(tmp_path / "again")  # the first run also warms up the machine
    generator = random.Random(0)
    deaths = 0
    while deaths < 20:
        code, seconds = timed(killed, kill_after=generator.uniform(0, longest))
        if code == -signal.SIGKILL:
            deaths += 1
        else:  # it ended before it was killed: start again
            assert code == 0
            assert_same_end(killed, whole)
            shutil.rmtree(killed)
            longest = min(longest, seconds)
    assert trainer.run(killed, training=changes) == 0
    assert_same_end(killed, whole)


def test_a_finished_run_trains_nothing(tiny, tmp_path):
    def no_data(start, shard):
        raise AssertionError("a finished run asked for data")

    first = tiny.fit(tiny.stage(), tiny.training(steps=6), tmp_path)
    again = tiny.fit(tiny.stage(train=no_data), tiny.training(steps=6, checkpoint_every=1), tmp_path)
    for value, expected in zip(tiny.variables(again), tiny.variables(first), strict=True):
        np.testing.assert_array_equal(value, expected)
    with pytest.raises(
        UserError,
        match=r"^`optimizers.model.learning_rate` must be 0.03, as in .*Received: optimizers.model.learning_rate=0.1\.",
    ):
        tiny.fit(tiny.stage(), tiny.training(steps=6, learning_rate=0.1), tmp_path)


def test_a_strategy_and_another_floatx_are_refused(tiny, tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope(), pytest.raises(ValueError, match=r"outside of the scope of any strategy.*OneDeviceStrategy"):
        tiny.fit(tiny.stage(), tiny.training(), tmp_path)
    keras.config.set_floatx("float64")
    try:
        with pytest.raises(UserError, match=r"`floatx` of Keras.*must be 'float32'.*Received: floatx='float64'"):
            tiny.fit(tiny.stage(), tiny.training(), tmp_path)
    finally:
        keras.config.set_floatx("float32")


def cosine(step, steps):
    """Returns the learning rate of a step in a tiny training of some steps, by its formula."""
    return 0.03 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 4) / (steps - 4))))


@pytest.mark.usefixtures("_eager")
def test_more_steps_go_on_with_the_schedule_of_all_of_them(tiny, tmp_path, monkeypatch, capsys):
    tiny.fit(tiny.stage(), tiny.training(), tmp_path)
    before = history(tmp_path)
    original = progress.Progress.advance

    def interrupted(self, number=1):
        original(self, number)
        if self.done == 22:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "advance", interrupted)
        with pytest.raises(Terminated, match="at step 22 of 30"):
            tiny.fit(tiny.stage(), tiny.training(steps=30), tmp_path)
    assert (
        "tiny: continuing to step 30 instead of 20, with the learning rate of a schedule of 30"
        in capsys.readouterr().out
    )
    tiny.fit(tiny.stage(), tiny.training(steps=30), tmp_path)
    records = history(tmp_path)
    assert records[: len(before)] == before
    # The short last epoch of the first 20 steps is followed by the rest of a whole one.
    assert [record["step"] for record in records if record["event"] == "epoch"] == [8, 16, 20, 24, 30]
    (longer,) = [record for record in records if record["event"] == "longer"]
    assert longer == {"event": "longer", "step": 20, "epoch": 3, "planned": 20, "steps": 30}
    rates = {record["step"]: record["learning_rate"] for record in records if record["event"] == "step"}
    assert rates == pytest.approx({10: cosine(9, 20), 20: cosine(19, 20), 30: cosine(29, 30)}, rel=1e-5)
    with pytest.raises(UserError, match=r"`steps` must be at least 30, as before in .*\. Received: steps=29"):
        tiny.fit(tiny.stage(), tiny.training(steps=29), tmp_path)


@pytest.mark.usefixtures("_eager")
def test_data_that_ends_early_is_an_error(tiny, tmp_path):
    short = tiny.stage(train=lambda start, shard: tf.data.Dataset.range(start, 4).map(tiny.batch))
    message = r"data of stage 'tiny' ended at step 4 of 20"
    with pytest.warns(UserWarning, match="ran out of data"), pytest.raises(UserError, match=message):
        tiny.fit(short, tiny.training(), tmp_path)


def test_early_stopping_returns_the_best_averages(tiny, tmp_path):
    def wrong(step):  # counting down: the better the model counts up, the worse it gets
        right = tiny.batch(step)
        return right | {"y": (right["x"] + 9) % 10}

    validation = tf.data.Dataset.range(2).map(wrong)
    settings = tiny.training(early_stop_patience=2, steps=100, steps_per_epoch=6)
    model = tiny.fit(tiny.stage(validation=validation), settings, tmp_path)
    losses = [r["validation_loss"] for r in history(tmp_path) if r["event"] == "epoch"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 16
    assert model.evaluate(keras_batches(validation), verbose=0) == pytest.approx(losses[best], rel=1e-6)
    assert f"step-{6 * (best + 1):08d}.npz" in checkpoints(tmp_path)
    again = tiny.fit(tiny.stage(validation=validation), settings, tmp_path)
    for value, expected in zip(tiny.variables(again), tiny.variables(model), strict=True):
        np.testing.assert_array_equal(value, expected)
    # With more steps, the patience begins anew.
    longer = tiny.fit(tiny.stage(validation=validation), settings.model_copy(update={"steps": 200}), tmp_path)
    assert [r["step"] for r in history(tmp_path) if r["event"] == "epoch"] == [6 * n for n in range(1, best + 6)]
    assert longer.evaluate(keras_batches(validation), verbose=0) == pytest.approx(losses[best], rel=1e-6)


def test_xla_and_muon_train(tiny, tmp_path):
    tiny.fit(tiny.stage(), tiny.training(jit_compile=True, kind="muon", ema_momentum=0), tmp_path)
    epochs = [r["loss"] for r in history(tmp_path) if r["event"] == "epoch"]
    assert epochs[-1] < epochs[0]


def test_nan_in_the_data_names_the_loss(tiny, tmp_path):
    def poisoned(step):
        good = tiny.batch(step)
        return good | {"sample_weight": good["sample_weight"] * tf.where(step == 10, math.nan, 1.0)}

    stage = tiny.stage(train=lambda start, shard: tf.data.Dataset.range(start, 100).map(poisoned))
    with pytest.raises(NotFinite) as error:
        tiny.fit(stage, tiny.training(), tmp_path)
    assert "Step 11 of stage 'tiny': the loss is nan, the gradient of " in str(error.value)
    assert "layer" not in str(error.value)
    assert f"The last good checkpoint is {tmp_path}/checkpoints/step-00000009.npz." in str(error.value)
    assert checkpoints(tmp_path)[-1] == "step-00000009.npz"


def test_nan_in_a_gradient_names_the_variable(tiny, tmp_path):
    class Poison(keras.layers.Layer):
        """Layer that returns its input, and whose gradient is NaN."""

        def call(self, x):
            @tf.custom_gradient
            def pass_on(x):
                return tf.identity(x), lambda dy: dy * math.nan

            return pass_on(x)

    def build():
        x = keras.Input((tiny.LENGTH,), dtype="int32")
        h = Poison()(keras.layers.Embedding(10, 4, name="tokens")(x))
        return keras.Model(x, keras.layers.Dense(10, name="logits")(h))

    with pytest.raises(NotFinite) as error:
        tiny.fit(tiny.stage(build=build), tiny.training(), tmp_path)
    message = str(error.value)
    assert "Step 1 of stage 'tiny': the gradient of 'tokens/embeddings' is not finite (1 of 3" in message
    assert "step-00000000.npz" in message


def test_nan_in_a_layer_names_the_layer(tiny, tmp_path):
    class Fragile(keras.layers.Layer):
        """Callback that counts its calls and fails in the sixth one."""

        def build(self, shape):
            self.calls = self.add_weight(name="calls", initializer="zeros", trainable=False)
            super().build(shape)

        def call(self, x, training=False):
            if training:
                self.calls.assign_add(1.0)
            return x * keras.ops.where(self.calls == 6, math.inf, 1.0)

    def build():
        x = keras.Input((tiny.LENGTH,), dtype="int32")
        h = keras.layers.Embedding(10, 4)(x)
        h = keras.layers.Dense(4)(Fragile(name="fragile")(h))
        return keras.Model(x, keras.layers.Dense(10, name="logits")(h))

    with pytest.raises(
        NotFinite, match=r"^Step 6 of .*: the output of layer 'fragile' is not finite, the loss is nan, "
    ):
        tiny.fit(tiny.stage(build=build), tiny.training(), tmp_path)


@pytest.mark.usefixtures("_eager")
def test_a_signal_in_this_process_restores_the_handlers(tiny, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def batch(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step

    def train(start, shard):
        steps = tf.data.Dataset.range(start, 100)
        return steps.map(lambda s: tiny.batch(tf.ensure_shape(tf.py_function(batch, [s], tf.int64), [])))

    with pytest.raises(Terminated) as error:
        tiny.fit(tiny.stage(train=train), tiny.training(), tmp_path)
    assert error.value.signal == signal.SIGTERM
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


def drawn(folder):
    """Returns the steps and values of each tag in TensorBoard's files."""
    tags = {}
    for path in (folder / "tensorboard").glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
    return tags


def test_curves_are_written(tiny, tmp_path):
    tiny.fit(tiny.stage(), tiny.training(), tmp_path)
    tags = drawn(tmp_path)
    assert [step for step, _ in tags["step/gradient_norm"]] == [10, 20]
    assert [step for step, _ in tags["epoch/validation_loss"]] == [8, 16, 20]
    recorded = [r["loss"] for r in history(tmp_path) if r["event"] == "step"]
    assert [float(loss) for _, loss in tags["step/loss"]] == pytest.approx(recorded, rel=1e-6)
    assert [texts[0] for _, texts in tags["samples"]] == [b"(1, 6, 10)"] * 3


@pytest.mark.usefixtures("_eager")
def test_a_run_may_write_no_samples(tiny, tmp_path):
    tiny.fit(tiny.stage(samples=lambda model: []), tiny.training(steps=8), tmp_path)
    (epoch,) = history(tmp_path)
    assert epoch["samples"] == []
    tags = drawn(tmp_path)
    assert "epoch/loss" in tags
    assert "samples" not in tags


@pytest.mark.usefixtures("_eager")
def test_a_picture_is_kept_as_a_file_and_drawn_again_by_a_run_that_continues(tiny, tmp_path):
    def draw(model):
        return np.full([4, 6, 1], int(model.optimizer.iterations.numpy()), np.uint8)

    unfinished = tiny.stage(samples=draw, train=lambda start, shard: tf.data.Dataset.range(start, 10).map(tiny.batch))
    with pytest.raises(UserError, match="ended at step 10"):
        tiny.fit(unfinished, tiny.training(), tmp_path)
    shutil.copytree(tmp_path, tmp_path / "taken away")
    (tmp_path / "taken away" / "pictures" / "step-00000008.png").unlink()
    tiny.fit(tiny.stage(samples=draw), tiny.training(), tmp_path)
    pictures = [r["picture"] for r in history(tmp_path) if r["event"] == "epoch"]
    assert pictures == [f"pictures/step-{step:08d}.png" for step in (8, 16, 20)]
    for step, name in zip((8, 16, 20), pictures, strict=True):
        picture = tf.io.decode_png((tmp_path / name).read_bytes()).numpy()
        np.testing.assert_array_equal(picture, np.full([4, 6, 1], step, np.uint8))
    assert [step for step, _ in drawn(tmp_path)["picture"]] == [8, 16, 20]
    tiny.fit(tiny.stage(samples=draw), tiny.training(), tmp_path / "taken away")
    assert [step for step, _ in drawn(tmp_path / "taken away")["picture"]] == [16, 20]


@keras.saving.register_keras_serializable(package="tests")
class Guesser(keras.Model):
    """Model with its own loss and metric, which draws random numbers in evaluation too."""

    def __init__(self):
        super().__init__()
        self.noise = keras.layers.GaussianNoise(0.5, seed=1)
        self.head = keras.layers.Dense(1)
        self.spread = keras.metrics.Mean("spread")
        self.rows = keras.metrics.Sum("rows")

    def build(self, input_shape):
        self.head.build((None, 6))

    def call(self, x):
        return self.head(self.noise(keras.ops.cast(x, "float32"), training=True))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.spread.update_state(keras.ops.std(y_pred))
        self.rows.update_state(keras.ops.ones(keras.ops.shape(y_pred)[0]))
        return keras.ops.mean(keras.ops.square(y_pred - keras.ops.cast(y[:, :1], "float32")))


def test_a_model_may_have_its_own_loss_metrics_and_randomness(tiny, tmp_path):
    """Checks that the validation does not affect the training: with other validation data it is bitwise the same."""

    def build():
        model = Guesser()
        model.build((None, 6))
        return model

    def trained(batches):
        validation = tf.data.Dataset.range(10**6, 10**6 + batches).map(tiny.batch)
        folder = tmp_path / str(batches)
        stage = tiny.stage(build=build, loss=None, unit="guesses", samples=None, validation=validation)
        model = tiny.fit(stage, tiny.training(deterministic=True), folder)
        return [v.numpy() for v in model.trainable_variables], history(folder)

    weights, records = trained(2)
    others, other_records = trained(3)
    for value, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(value, other)
    losses = [[r["loss"] for r in rs if r["event"] == "epoch"] for rs in (records, other_records)]
    assert losses[0] == losses[1]
    epoch = records[0]
    assert epoch["validation_spread"] > 0
    # Metrics are computed over the whole validation set, not averaged over its batches.
    assert [rs[0]["validation_rows"] for rs in (records, other_records)] == [2 * tiny.BATCH, 3 * tiny.BATCH]
    assert epoch["validation_loss"] != other_records[0]["validation_loss"]


@pytest.mark.usefixtures("_eager")
def test_early_stopping_follows_the_metric_of_the_stage(tiny, tmp_path):
    def build():
        model = Guesser()
        model.build((None, 6))
        return model

    def zeros(step):  # for which the loss and the spread fall, so that the metric stops a training that goes well
        return tiny.batch(step) | {"y": tf.zeros([tiny.BATCH, tiny.LENGTH], tf.int32)}

    stage = tiny.stage(
        build=build,
        loss=None,
        samples=None,
        metric=Metric("spread", "spread", better="more"),
        train=lambda start, shard: tf.data.Dataset.range(start, 100).map(zeros),
        validation=tf.data.Dataset.range(2).map(zeros),
    )
    model = tiny.fit(stage, tiny.training(steps=60, steps_per_epoch=2, early_stop_patience=1, ema_momentum=0), tmp_path)
    values = [record["validation_spread"] for record in history(tmp_path) if record["event"] == "epoch"]
    best = int(np.argmax(values))
    assert len(values) == best + 2 < 30
    with np.load(tmp_path / "checkpoints" / f"step-{2 * (best + 1):08d}.npz") as file:
        kernel = next(file[name] for name in file.files if name.endswith("dense/kernel"))
    np.testing.assert_array_equal(model.head.kernel.numpy(), kernel)


@pytest.mark.usefixtures("_eager")
def test_a_metric_that_the_model_has_not_is_named(tiny, tmp_path):
    stage = tiny.stage(metric=Metric("accuracy", "share right", better="more"))
    with pytest.raises(ValueError, match=r"`metric` of stage 'tiny' must be one of loss. Received: metric='accuracy'"):
        tiny.fit(stage, tiny.training(), tmp_path)


@pytest.mark.usefixtures("_eager")
def test_trouble_that_lasts_stops_the_training_and_one_that_is_resumed_again(tiny, tmp_path):
    def train(patience, trouble=lambda record: f"the loss is {record['loss']:.0f}, too much"):
        parts = tiny.stage(trouble=trouble, trouble_patience=patience)
        tiny.fit(parts, tiny.training(steps_per_epoch=4), tmp_path)

    for step, epochs in ((8, 2), (12, 3)):
        message = rf"^Step {step} of stage 'tiny', for {epochs} epochs: the loss is \d, too much\.$"
        with pytest.raises(UserError, match=message):
            train(patience=2)
        assert history(tmp_path)[-1]["step"] == step
    # An epoch without trouble resets the count. Without patience, or with more of it, training continues.
    with pytest.raises(UserError, match="Step 20 of stage 'tiny', for 1 epochs"):
        train(1, trouble=lambda record: "it is over" if record["step"] == 20 else None)


@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize("patience", [0, 6])
def test_trouble_within_the_patience_is_borne(tiny, tmp_path, patience):
    parts = tiny.stage(trouble=lambda record: "all is lost", trouble_patience=patience)
    tiny.fit(parts, tiny.training(steps_per_epoch=4), tmp_path)
    assert history(tmp_path)[-1]["step"] == 20


@pytest.mark.usefixtures("_eager")
def test_validation_that_counts_nothing_is_an_error(tiny, tmp_path):
    empty = tf.data.Dataset.range(1).map(lambda step: tiny.batch(step) | {"sample_weight": tf.zeros([4, 6])})
    with pytest.raises(ValueError, match="`validation` of stage 'tiny' must have examples that count"):
        tiny.fit(tiny.stage(validation=empty), tiny.training(), tmp_path)


def adversaries(tiny, poisoned_step=None, every=1):
    """Returns the arguments of a stage of two networks, and its training section; its data may have a NaN."""

    def build():
        generator, discriminator = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(size)]) for size in (2, 1))
        return AdversarialModel(generator, discriminator, latent_size=2, discriminator_steps=every, seed=0)

    def batch(step):
        factor = 1.0 if poisoned_step is None else tf.where(step == poisoned_step, math.nan, 1.0)
        return {"id": tf.range(4), "x": factor * tf.random.stateless_normal([4, 2], [7, step])}

    parts = tiny.stage(
        build=build,
        loss=None,
        samples=None,
        metric=Metric("diversity", "diversity", better="more"),
        train=lambda start, shard: tf.data.Dataset.range(start, 100).map(batch),
        validation=tf.data.Dataset.range(2).map(batch),
    )
    pair = AdversarialOptimizers(generator=tiny.OPTIMIZER, discriminator=tiny.OPTIMIZER)
    return parts, tiny.training(ema_momentum=0.0).model_copy(update={"optimizers": pair})


def test_nan_with_two_optimizers_names_the_loss_and_the_gradient_of_one(tiny, tmp_path):
    with pytest.raises(NotFinite) as error:
        tiny.fit(*adversaries(tiny, poisoned_step=5), tmp_path)
    message = str(error.value)
    assert message.startswith("Step 6 of stage 'tiny': the output of layer ")
    for name in ("generator", "discriminator"):
        assert f"the {name}_loss is nan, the gradient of " in message


def test_an_optimizer_that_rests_counts_its_updates_alone(tiny, tmp_path):
    tiny.fit(*adversaries(tiny, every=4), tmp_path)
    # The generator is updated in every fourth of twenty steps; a step without an update adds no loss.
    assert all(0.1 < r["generator_loss"] < 5 for r in history(tmp_path) if r["event"] != "profile")
    with np.load(tmp_path / "checkpoints" / "step-00000020.npz") as file:
        sums = json.loads(file["about"].tobytes())["state"]["sums"]
    assert (sums["generator"]["updates_before"], sums["discriminator"]["updates_before"]) == (5, 20)


@pytest.mark.usefixtures("_eager")
def test_the_terminal_speaks_of_the_stages_unit(tiny, tmp_path, monkeypatch):
    told, remove = [], console._display.remove

    def end(progress):
        told.append(progress.text())
        remove(progress)

    monkeypatch.setattr(console._display, "remove", end)
    tiny.fit(tiny.stage(unit="images", samples=None), tiny.training(steps=10, steps_per_epoch=10), tmp_path)
    assert re.fullmatch(r"10 of 10 steps, loss [\d.]+, validation [\d.]+, [\d,]+ images/s, finishing", *told)
