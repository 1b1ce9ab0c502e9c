import math

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.pipelines.recipe.sections import AdversarialOptimizers, AdversarialTraining
from ikelos.pipelines.training import optimizers

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def make(tiny):
    """Makes a compiled model without randomness; keywords change its settings."""

    def make(**changes):
        keras.utils.set_random_seed(1)
        x = keras.Input((tiny.LENGTH,), dtype="int32")
        h = keras.layers.Embedding(tiny.VOCABULARY, 8, name="tokens")(x)
        h = keras.layers.Dense(12, activation="tanh", name="hidden")(h)
        model = keras.Model(x, keras.layers.Dense(tiny.VOCABULARY, name="logits")(h))
        optimizers.compile_model(model, optimizers.build(tiny.training(**changes), model), LOSS, jit_compile=False)
        return model

    return make


def gradients(model, batch):
    """Returns the loss and the dense gradients, computed without an optimizer."""
    with tf.GradientTape() as tape:
        loss = LOSS(batch["y"], model(batch["x"], training=True), sample_weight=batch["sample_weight"])
    return loss.numpy(), [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_variables)]


def step(model, batch):
    model.train_on_batch(batch["x"], batch["y"], sample_weight=batch["sample_weight"])


def values(variables):
    return [variable.numpy() for variable in variables]


def test_the_first_step_is_adamw_on_the_clipped_gradient(tiny, make):
    model = make(warmup_steps=0, clip_norm=0.01, weight_decay=0.1, learning_rate=0.02, beta_2=0.9)
    batch = tiny.batch(tf.constant(0, tf.int64))
    before = values(model.trainable_variables)
    loss, grads = gradients(model, batch)
    norm = math.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads))
    step(model, batch)
    optimizer = model.optimizer
    assert optimizer.loss.numpy() == pytest.approx(loss, rel=1e-6)
    assert optimizer.gradient_norm.numpy() == pytest.approx(norm, rel=1e-6)
    np.testing.assert_allclose(optimizer.gradient_norms.numpy(), [np.linalg.norm(g) for g in grads], rtol=1e-6)
    decayed = {"hidden/kernel", "logits/kernel"}
    for variable, old, grad in zip(model.trainable_variables, before, grads, strict=True):
        clipped = grad * 0.01 / norm
        # At the first step the corrected moments are the gradient and its square. Keras adds its epsilon to the
        # square root before the correction by sqrt(1 - beta_2).
        epsilon = 1e-7 / math.sqrt(1 - 0.9)
        expected = old * (1 - 0.02 * 0.1 * (variable.path in decayed)) - 0.02 * clipped / (np.abs(clipped) + epsilon)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_token_that_occurs_twice_counts_as_the_sum_of_its_gradients(tiny, make):
    model = make()
    batch = {"x": np.full([4, 6], 5), "y": np.full([4, 6], 3), "sample_weight": np.ones([4, 6], np.float32)}
    _, grads = gradients(model, batch)
    step(model, batch)
    assert model.optimizer.gradient_norms.numpy()[0] == pytest.approx(np.linalg.norm(grads[0]), rel=1e-6)


def test_clipped_steps_are_counted(tiny, make):
    norms = []
    model = make(clip_norm=1e9)
    for number in range(6):
        step(model, tiny.batch(tf.constant(number, tf.int64)))
        norms.append(float(model.optimizer.gradient_norm.numpy()))
    assert model.optimizer.clipped_steps.numpy() == 0
    # With a rate of 0 (the first step of a warm-up), the norm stays the same, so it can be compared with the limit.
    for limit, count in [(norms[0] * 0.999, 1), (norms[0] * 1.001, 0)]:
        model = make(clip_norm=limit)
        step(model, tiny.batch(tf.constant(0, tf.int64)))
        assert model.optimizer.clipped_steps.numpy() == count


@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_averages_are_those_of_numpy(tiny, make, momentum):
    model = make(ema_momentum=momentum)
    averages = values(model.trainable_variables)
    for number in range(8):
        step(model, tiny.batch(tf.constant(number, tf.int64)))
        m = min(momentum, (1 + number) / (10 + number))
        averages = [m * a + (1 - m) * v for a, v in zip(averages, values(model.trainable_variables), strict=True)]
    for average, expected in zip(model.optimizer.averages, averages, strict=True):
        np.testing.assert_allclose(average.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_averaged_gives_the_raw_weights_back_bit_by_bit(tiny, make):
    model = make()
    for number in range(3):
        step(model, tiny.batch(tf.constant(number, tf.int64)))
    raw, averages = values(model.trainable_variables), values(model.optimizer.averages)
    with optimizers.averaged(model, {"model": model.optimizer}):
        for value, expected in zip(values(model.trainable_variables), averages, strict=True):
            np.testing.assert_array_equal(value, expected)
    for value, expected in zip(values(model.trainable_variables), raw, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_without_averages_the_weights_stay(tiny, make):
    model = make(ema_momentum=0)
    raw = values(model.trainable_variables)
    optimizers.use_averages({"model": model.optimizer})
    for value, expected in zip(values(model.trainable_variables), raw, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_fit_leaves_the_raw_weights(tiny, make):
    model, other = make(), make(ema_momentum=0)
    data = tf.data.Dataset.range(3).map(tiny.batch).map(lambda b: (b["x"], b["y"], b["sample_weight"]))
    for each in (model, other):
        each.fit(data, epochs=2, verbose=0, shuffle=False)
    for value, expected in zip(values(model.trainable_variables), values(other.trainable_variables), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("warmup", [0, 10])
def test_the_schedule_is_a_warm_up_and_a_cosine(tiny, warmup):
    settings = tiny.training(steps=50, warmup_steps=warmup, learning_rate=0.2, final_learning_rate_ratio=0.1)
    rate = optimizers.schedule(settings.optimizers.model, settings.steps)
    for number in range(51):
        if number < warmup:
            expected = 0.2 * number / warmup
        else:
            cosine = 0.5 * (1 + math.cos(math.pi * (number - warmup) / (50 - warmup)))
            expected = 0.2 * (0.9 * cosine + 0.1)
        assert float(rate(number)) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_a_run_shorter_than_its_warm_up_stays_in_it(tiny):
    settings = tiny.training(steps=5, warmup_steps=10, learning_rate=0.2)
    rate = optimizers.schedule(settings.optimizers.model, settings.steps)
    assert [float(rate(number)) for number in range(5)] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])


def test_weight_decay_is_for_matrices():
    inputs = keras.Input((4,), dtype="int32")
    h = keras.layers.Embedding(5, 4)(inputs)
    h = keras.layers.MultiHeadAttention(2, 3, name="attention")(h, h)
    h = keras.layers.LayerNormalization()(h)
    h = keras.layers.GRU(3, name="gru")(h)  # its bias is a matrix, [2, 3U]
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(h))
    decayed = {v.path for v in model.trainable_variables if optimizers.decays(v)}
    assert decayed == {v.path for v in model.trainable_variables if v.path.endswith("kernel")}


def test_muon_takes_the_inner_matrices_only(make):
    model = make(kind="muon")
    pairs = zip(model.trainable_variables, model.optimizer.adam_velocities, strict=True)
    muon = [variable.path for variable, velocity in pairs if velocity is None]
    assert muon == ["hidden/kernel"]


def test_each_part_of_a_model_has_its_own_optimizer(tiny):
    generator, discriminator = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(size)]) for size in (2, 1))
    model = AdversarialModel(generator, discriminator, latent_size=2, seed=0)
    one = tiny.training().optimizers.model
    pair = AdversarialOptimizers(generator=one, discriminator=one.model_copy(update={"learning_rate": 0.5}))
    training = tiny.training().model_copy(update={"optimizers": pair})
    built = optimizers.build(training, model)
    optimizers.compile_model(model, built, None, jit_compile=False)
    for name, rate in (("generator", 0.03), ("discriminator", 0.5)):
        assert built[name] is getattr(model, f"{name}_optimizer")
        assert [v.path for v in built[name].trained] == [v.path for v in getattr(model, name).trainable_variables]
        assert float(built[name].learning_rate.numpy()) == 0  # the first step of a warm-up
        assert float(optimizers.schedule(getattr(pair, name), 20)(4)) == pytest.approx(rate)
    held = optimizers.variables(model, built)
    assert len(held) == len(model.variables) + sum(len(optimizer.variables) for optimizer in built.values())
    for names, words in (
        (["critic"], r"named `model` or after a part of the model. Received: optimizers.critic"),
        (["generator"], r"each trainable weight once. Received: optimizers=\['generator'\], of which 0 update "),
        (["model", "generator"], r"Received: optimizers=\['model', 'generator'\], of which 2 update "),
    ):
        with pytest.raises(ValueError, match=words):
            optimizers.build(training.model_copy(update={"optimizers": [(name, one) for name in names]}), model)


def test_an_optimizer_that_rests_keeps_to_the_schedule_of_the_run(tiny):
    generator, discriminator = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(size)]) for size in (2, 1))
    model = AdversarialModel(generator, discriminator, discriminator_steps=3, seed=0)
    training = tiny.training(steps=9, warmup_steps=4, ema_momentum=0.0)
    one = training.optimizers.model
    training = training.model_copy(update={"optimizers": AdversarialOptimizers(generator=one, discriminator=one)})
    built = optimizers.build(training, model)
    optimizers.compile_model(model, built, None, jit_compile=False)
    rates = {name: [] for name in built}
    for _ in range(9):
        model.train_on_batch(np.ones([4, 2], "float32"))
        for name, optimizer in built.items():
            rates[name].append(float(optimizer.rate.numpy()))
    expected = [float(optimizers.schedule(one, 9)(step)) for step in range(9)]
    assert rates["discriminator"] == expected
    # The optimizer updates the weights in every third step.
    assert rates["generator"][2::3] == expected[2::3]
    assert int(built["generator"].iterations) == 3


def test_a_wrapped_optimizer_is_refused(tiny):
    policy = keras.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype=policy)])
    model.dtype_policy = policy
    with pytest.raises(ValueError, match="Received: dtype_policy=mixed_float16"):
        optimizers.compile_model(model, optimizers.build(tiny.training(), model), LOSS, jit_compile=False)


def test_an_averaged_generator_is_the_models_own_affair(tiny):
    both = {"generator": tiny.OPTIMIZER, "discriminator": tiny.OPTIMIZER}
    fields = tiny.training().model_dump() | {"optimizers": both}
    assert AdversarialTraining(**fields | {"ema_momentum": 0.0}).optimizers.generator.clip_norm == 0.5
    with pytest.raises(pydantic.ValidationError, match=r"`ema_momentum` must be 0.*Received: ema_momentum=0.9"):
        AdversarialTraining(**fields)
