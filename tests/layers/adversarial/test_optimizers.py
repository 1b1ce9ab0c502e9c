import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.layers.adversarial.optimizers import Optimizers

NAMES = ["generator_optimizer", "discriminator_optimizer"]


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(size=[8, 2]).astype("float32")


def adversaries(optimizers=(0.1, 0.4), discriminator_steps=1, **settings):
    """Returns a compiled model; a number among `optimizers` is the rate of gradient descent."""
    keras.utils.set_random_seed(1)
    networks = [keras.Sequential([keras.Input((a,)), keras.layers.Dense(b)]) for a, b in ((3, 2), (2, 1))]
    model = AdversarialModel(*networks, discriminator_steps=discriminator_steps, seed=1)
    optimizers = [keras.optimizers.SGD(x) if isinstance(x, float) else x for x in optimizers]
    model.compile(*optimizers, **(settings or {"run_eagerly": True}))
    return model


def rates_of(model):
    return [float(getattr(model, name).learning_rate.numpy()) for name in NAMES]


@pytest.mark.parametrize(
    "callback",
    [
        # No loss is better by 100, so that each epoch after the first is one too many.
        keras.callbacks.ReduceLROnPlateau("generator_loss", factor=0.5, patience=0, min_delta=100, mode="min"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate),
    ],
    ids=["plateau", "scheduler"],
)
def test_callbacks_change_each_rate_from_its_own(samples, callback):
    model = adversaries()
    logs = model.fit(samples, epochs=3, callbacks=[callback], verbose=0).history
    assert rates_of(model) == pytest.approx([0.025, 0.1])
    assert [logs[f"learning_rate_{name}"][0] for name in NAMES] == pytest.approx([0.1, 0.4])


def test_a_compiled_step_goes_by_the_changed_rate(samples):
    model = adversaries(jit_compile=False)
    model.fit(samples, verbose=0)
    weights = [part.get_weights() for part in (model.generator, model.discriminator)]
    model.fit(samples, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)])
    for before, part in zip(weights, (model.generator, model.discriminator), strict=True):
        for value, expected in zip(part.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_schedule_goes_by_the_updates_and_is_not_changed(samples):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.8, 1, 0.5)
    model = adversaries((keras.optimizers.SGD(schedule), 0.4), discriminator_steps=2)
    model.fit(samples, batch_size=2, verbose=0)
    assert rates_of(model) == pytest.approx([0.2, 0.4])  # four steps, of which two moved the generator
    callback = keras.callbacks.ReduceLROnPlateau("generator_loss", patience=0, min_delta=100, mode="min")
    with pytest.raises(TypeError, match=r"`LearningRateSchedule` .* not settable"):
        model.fit(samples, epochs=2, verbose=0, callbacks=[callback])


def test_callbacks_of_keras_find_what_they_ask_for(samples, tmp_path):
    model = adversaries(("adam", "adam"))
    assert [optimizer.name for optimizer in model.optimizer.optimizers] == NAMES
    callbacks = [
        keras.callbacks.TensorBoard(tmp_path / "board", write_steps_per_second=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
        keras.callbacks.ModelCheckpoint(tmp_path / "model.weights.h5", save_weights_only=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.EarlyStopping("val_generator_loss", mode="min", restore_best_weights=True, min_delta=100),
    ]
    model.fit(samples, batch_size=4, epochs=2, validation_data=(samples,), callbacks=callbacks, verbose=0)
    model.summary(print_fn=lambda text: None)

    written = {name: set() for name in ("train", "validation")}
    for name, tags in written.items():
        for path in (tmp_path / "board" / name).glob("*tfevents*"):
            for record in tf.data.TFRecordDataset(str(path)):
                event = tf.compat.v1.Event.FromString(record.numpy())
                tags |= {(value.tag, event.step) for value in event.summary.value}
    rates = {(f"epoch_learning_rate_{name}", epoch) for name in NAMES for epoch in range(2)}
    assert rates | {("epoch_steps_per_second", 1)} <= written["train"]
    assert ("evaluation_diversity_vs_iterations", 4) in written["validation"]

    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(rows[1][f"learning_rate_{name}"]) for name in NAMES] == pytest.approx([0.00025] * 2)
    loaded, other = keras.saving.load_model(tmp_path / "model.keras"), adversaries(("adam", "adam"))
    other.load_weights(tmp_path / "model.weights.h5")
    assert rates_of(loaded) == rates_of(other) == pytest.approx([0.00025] * 2)
    assert int(model.step) == 2  # of the first epoch, the best
    assert int(loaded.step) == int(other.step) == 4


def test_a_backup_is_gone_on_from(samples, tmp_path):
    def trained(*callbacks):
        model = adversaries(("adam", "adam"))
        model.fit(samples, batch_size=4, epochs=3, shuffle=False, callbacks=callbacks, verbose=0)
        return model.get_weights()

    def crash(epoch, logs):
        if epoch == 1:
            raise InterruptedError

    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(InterruptedError):
        trained(backup, keras.callbacks.LambdaCallback(on_epoch_begin=crash))
    for value, expected in zip(trained(backup), trained(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_averages_of_an_optimizer_are_swapped_in(samples):
    model = adversaries((keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), 0.4))
    kernels = []
    callbacks = [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: kernels.append(model.generator.get_weights()[0])
        ),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    ]
    model.fit(samples, epochs=2, callbacks=callbacks, verbose=0)
    np.testing.assert_allclose(model.generator.get_weights()[0], sum(kernels) / 2, rtol=1e-6)


def test_a_loss_scale_is_not_shown_to_callbacks():
    inner, other = keras.optimizers.SGD(0.1, name="slow"), keras.optimizers.SGD(0.2)
    both = Optimizers([keras.optimizers.LossScaleOptimizer(inner), other], tf.Variable(0))
    assert both.optimizers == [inner, other]


def test_there_is_no_single_rate():
    with pytest.raises(AttributeError, match=r"generator_optimizer.learning_rate` and `model.discriminator_optimizer"):
        adversaries().optimizer.learning_rate  # noqa: B018
