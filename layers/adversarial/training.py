"""Training and evaluation of an `AdversarialModel` on one batch, as functions of the model."""

import keras
import tensorflow as tf

from ikelos.layers.adversarial.inputs import check_samples, discriminator_inputs, generator_inputs
from ikelos.layers.adversarial.losses import LOSSES
from ikelos.layers.adversarial.moving_average import update_average
from ikelos.layers.adversarial.penalties import weighted_penalties
from ikelos.layers.adversarial.randomness import (
    FOR_DISCRIMINATOR,
    FOR_EVALUATION,
    FOR_GENERATOR,
    FOR_PENALTY,
    normal_latents,
    step_seed,
)


def train(model, real, condition):
    """Updates the discriminator, and in every `discriminator_steps`-th step the generator too."""
    _update_discriminator(model, real, condition)
    every = model.discriminator_steps
    _when(every == 1 or model.step % every == every - 1, lambda: _update_generator(model, real, condition))
    model.step.assign_add(1)


def evaluate(model, real, condition):
    """Logs one batch of validation, with the averaged generator and without penalties and augmentation."""
    # The index is the number of batches logged since the last reset, so that each validation has the same latents.
    index = tf.cast(model.means["generator_loss"].count, tf.int64)
    seed = step_seed(model.seed, index, FOR_EVALUATION)
    fake = _fakes(model, model.ema_generator, real, condition, seed, training=False)
    real_scores, fake_scores = (_scores(model, x, condition, training=False) for x in (real, fake))
    _log_discriminator(model, real, fake, real_scores, fake_scores)
    _log_generator(model, real, fake, fake_scores)


def _update_discriminator(model, real, condition):
    with keras.StatelessScope():
        fake = _fakes(model, model.generator, real, condition, _seed(model, FOR_DISCRIMINATOR), training=True)
    real_seen, fake_seen = _augmented(model, real), _augmented(model, fake)
    with tf.GradientTape() as tape:
        real_scores = _scores(model, real_seen, condition, training=True)
        losses = model.discriminator.losses
        fake_scores = _scores(model, fake_seen, condition, training=True)
        losses = [*losses, *model.discriminator.losses]
        loss, accuracy = _log_discriminator(model, real, fake, real_scores, fake_scores)
        # The losses that layers add are halved, because both calls of the discriminator add those of its weights.
        loss += _total(model, losses) / 2 + _penalty(model, real_seen, fake_seen, condition)
        loss = model.discriminator_optimizer.scale_loss(loss)
    weights = model.discriminator.trainable_variables
    gradients = tape.gradient(loss, weights)
    limit = model.max_discriminator_accuracy
    if limit < 1:
        _log(model, discriminator_updates=tf.cast(accuracy <= limit, tf.float32))
    _when(limit == 1 or accuracy <= limit, lambda: model.discriminator_optimizer.apply(gradients, weights))


def _update_generator(model, real, condition):
    with tf.GradientTape() as tape:
        fake = _fakes(model, model.generator, real, condition, _seed(model, FOR_GENERATOR), training=True)
        losses = model.generator.losses
        seen = _augmented(model, fake)
        with keras.StatelessScope():
            scores = _scores(model, seen, condition, training=True)
        loss = _log_generator(model, real, fake, scores) + _total(model, losses)
        loss = model.generator_optimizer.scale_loss(loss)
    weights = model.generator.trainable_variables
    model.generator_optimizer.apply(tape.gradient(loss, weights), weights)
    earlier = model.step // model.discriminator_steps
    update_average(model.ema_generator, model.generator, model.ema_momentum, earlier)


def _penalty(model, real, fake, condition):
    """Logs the weighted penalties and returns their sum times `penalty_interval`; in other steps, returns 0.

    The penalties are computed in every `penalty_interval`-th step, starting with the first one.
    """

    def scores(samples):
        with keras.StatelessScope():
            return _scores(model, samples, condition, training=True)

    def total():
        values = weighted_penalties(model.penalties, scores, real, fake, _seed(model, FOR_PENALTY))
        _log(model, **values)
        return model.penalty_interval * tf.add_n(list(values.values()))

    if not model.penalties:
        return 0.0
    if model.penalty_interval == 1:
        return total()
    return tf.cond(model.step % model.penalty_interval == 0, total, lambda: tf.zeros([], real.dtype))


def _log_discriminator(model, real, fake, real_scores, fake_scores):
    """Logs the losses and scores of the discriminator on a batch; returns its loss and its accuracy."""
    functions = LOSSES[model.loss]
    loss = functions.discriminator(real_scores, fake_scores)
    threshold = functions.threshold(real_scores, fake_scores)
    real_accuracy = tf.reduce_mean(tf.cast(real_scores > threshold, tf.float32))
    fake_accuracy = tf.reduce_mean(tf.cast(fake_scores <= threshold, tf.float32))
    _log(model, discriminator_loss=loss, real_accuracy=real_accuracy, fake_accuracy=fake_accuracy)
    model.diversity.update_state(real, fake)
    return loss, (real_accuracy + fake_accuracy) / 2


def _log_generator(model, real, fake, scores):
    """Logs the losses of the generator on a batch; returns their sum, with the weighted reconstruction loss."""
    loss = LOSSES[model.loss].generator(scores)
    _log(model, generator_loss=loss)
    if model.reconstruction_loss is None:
        return loss
    distance = tf.reduce_mean(tf.cast(model.reconstruction_loss(real, fake), loss.dtype))
    _log(model, reconstruction_loss=distance)
    return loss + tf.cast(model.reconstruction_weight, loss.dtype) * distance


def _log(model, **values):
    for name, value in values.items():
        model.means[name].update_state(value)


def _fakes(model, generator, real, condition, seed, training):
    """Returns as many generated samples as there are real ones."""
    latents = normal_latents(tf.shape(real)[0], model.latent_size, seed)
    inputs = generator_inputs(generator, latents, condition, model.latent_size)
    fake = _cast(model, generator(inputs, training=training))
    check_samples(real, fake)
    return fake


def _scores(model, samples, condition, training):
    seen = condition if model.discriminator_sees_condition else None
    inputs = discriminator_inputs(model.discriminator, samples, seen)
    return _cast(model, model.discriminator(inputs, training=training))


def _augmented(model, samples):
    return samples if model.augmentation is None else _cast(model, model.augmentation(samples, training=True))


def _seed(model, use):
    return step_seed(model.seed, model.step.value, use)


def _total(model, losses):
    """Returns the sum of the losses that the layers of a network added."""
    return sum(_cast(model, loss) for loss in losses)


def _cast(model, x):
    """Casts a network's output to the dtype of samples, scores and losses, which is float32 in mixed precision."""
    return tf.cast(x, model.variable_dtype)


def _when(condition, function):
    """Calls `function` if `condition`, a bool or a bool tensor, is true."""
    if condition is True:
        function()
    else:
        tf.cond(condition, function, lambda: None)
