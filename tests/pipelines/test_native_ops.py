"""The recipes of sequence tasks run on native ops."""

import pytest
import tensorflow as tf

from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.training.profile import NATIVE

RECIPES = {
    "dialogue": ([], {"IkelosAttention"}),
    "language_modeling": ([], {"IkelosAttention"}),
    "number_translation": ([], {"IkelosAttention"}),
    "sequence_dynamics": (
        ["model.kinds=[lstm, gru, transformer]"],
        {"IkelosLstm", "IkelosGru", "IkelosAttention"},
    ),
    "speech_recognition": ([], {"IkelosLstm"}),
}
"""Overrides of the tiny recipe, which differs from the packaged one in its sizes, and the ops that it must have."""
WITHOUT = {"clipped_rnn", "unclipped_rnn", "ranker"}
"""Stages of Keras's plain RNN, and of a ranker that sums embeddings."""


def native_ops(model, x):
    graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(x).graph
    types = {node.op for node in graph.as_graph_def().node}
    types |= {node.op for function in graph.as_graph_def().library.function for node in function.node_def}
    return {name for name in types if name.startswith(NATIVE)}


@pytest.mark.parametrize("name", RECIPES)
def test_the_graph_of_a_training_step_has_native_ops(shrunk, name):
    overrides, expected = RECIPES[name]
    task = tasks.of_recipe(shrunk(name, *overrides))
    data = preparation.prepare(task.preparation())
    models, found = {}, set()
    for stage in task.stages(data.learned):
        models[stage.name] = stage.build(models)
        batch = next(iter(stage.feed(data.splits, models).train(0, WHOLE)))
        native = native_ops(models[stage.name], batch["x"])
        assert native or stage.name in WITHOUT, stage.name
        found |= native
    assert found >= expected
