import keras
import numpy as np
import tensorflow as tf

from ikelos.layers import AdversarialModel
from ikelos.pipelines import task
from ikelos.pipelines.data.arrays import Arrays
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.training.stage import Stage, feed
from ikelos.serving import Signature


class Task(task.Task):
    metrics = (Metric("accuracy", "share as asked for", ".1%", better="more"),)
    counted = "points"

    def preparation(self):
        y = np.eye(2, dtype="float32")[np.arange(64) % 2]
        x = np.random.default_rng(0).normal(3 * y[:, 1:], 1, [3, 64, 2]).astype("float32")
        return Arrays("points", {split: {"x": x[i], "y": y} for i, split in enumerate(SPLITS)})

    def stages(self, preprocessing):
        def stage(name, build, metric, loss=None):
            training = getattr(self.config, name)
            return Stage(name, training, build, lambda splits, _: feed(splits, training), "points", metric, loss)

        loss = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        judge = stage("judge", lambda _: network(2, 2), Metric("loss", "nats"), loss)
        return [judge, stage("maker", maker, Metric("diversity", "diversity of points", better="more"))]

    def evaluate(self, preprocessing, splits, models):
        asked = splits["test"].array("y")
        scores = models["judge"](models["maker"].generate(condition=asked))
        return {"accuracy": np.mean(np.argmax(scores, 1) == asked.argmax(1)).item(), "points": len(asked)}

    def signatures(self, preprocessing, models):
        specs, example = {"point": tf.TensorSpec([None, 2], tf.float32)}, {"point": [[0.0, 1.0]]}
        return [Signature("serving_default", lambda point: {"scores": models["judge"](point)}, specs, example, "Heap.")]


def network(inputs, outputs):
    return keras.Sequential([keras.Input([inputs]), keras.layers.Dense(8, "relu"), keras.layers.Dense(outputs)])


def maker(models):
    generator, settings = network(models["judge"].output_shape[1], 2), {"reconstruction_loss": "mse", "seed": 0}
    settings |= {"latent_size": 0, "discriminator_sees_condition": False, "ema_momentum": 0.0}
    return AdversarialModel(generator, network(2, 1), **settings)
