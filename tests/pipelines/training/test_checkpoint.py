import dataclasses
import json
import os
import random
import types

import keras
import numpy as np
import pytest

from ikelos.pipelines.cli import failures
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training import checkpoint
from ikelos.pipelines.training.checkpoint import Checkpoints
from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.optimizers import build
from ikelos.pipelines.training.state import State

SETTINGS = {"steps": 20}


@pytest.fixture
def make(tiny):
    """Makes a compiled model, with fresh weights each time."""

    def make(network=tiny.build, **changes):
        model = network()
        model.compile(optimizer=build(tiny.training(**changes), model)["model"], loss="mse")
        return model

    return make


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, SETTINGS)


def every(model):
    return [*model.variables, *model.optimizer.variables]


def equal(tiny, first, second):
    pairs = zip(tiny.variables(first), tiny.variables(second), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_a_disk_too_small_for_the_files_is_found_before_the_training(make, checkpoints, monkeypatch):
    model = make()
    checkpoints.save(every(model), State(step=1))
    content = sum(variable.numpy().nbytes for variable in every(model))
    free = [4 * content]
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=free[0]))
    checkpoints.check_room(every(model))
    free[0] = 3 * content  # one of four files exists
    checkpoints.check_room(every(model))
    free[0] -= 1
    with pytest.raises(UserError, match=r"The disk of .* must have .* MB free .*Received: .* MB$"):
        checkpoints.check_room(every(model))


def test_every_variable_and_the_state_come_back(tiny, make, checkpoints):
    model, other = make(), make()
    for place, variable in enumerate(every(model)):
        variable.assign(np.full(variable.shape, place + 1))
    names = [v.path for v in model.variables]
    assert any("seed_generator_state" in name for name in names)
    assert any("moving_mean" in name for name in names)
    state = State(step=7, epochs=2, seconds=1 / 3, best=None, wait=1)
    state.sums_of("model")["loss"] = 0.1 + 0.2
    checkpoints.save(every(model), state)
    # The other model's layers have other numbers in their names, as in a process that has built more models.
    assert [v.path for v in other.variables] != names
    assert checkpoints.restore(every(other)) == state
    assert equal(tiny, model, other)


def test_half_precision_comes_back(tiny, make, checkpoints):
    def build():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16")])

    model, other = make(build), make(build)
    assert model.variables[0].dtype == "bfloat16"
    checkpoints.save(every(model), State(step=1))
    checkpoints.restore(every(other))
    assert equal(tiny, model, other)


def test_without_files_the_state_is_fresh(make, checkpoints):
    assert checkpoints.restore(every(make())) == State()


def test_the_newest_two_and_the_best_are_kept(make, checkpoints):
    model = make()
    for step in range(1, 6):
        checkpoints.save(every(model), State(step=step, best_step=2))
    assert checkpoints.steps() == [2, 4, 5]


def test_any_flipped_byte_is_noticed_or_harmless(tiny, make, checkpoints):
    model, other = make(), make()
    checkpoints.save(every(model), State(step=1))
    path = checkpoints.path(1)
    whole = path.read_bytes()
    generator = random.Random(0)
    noticed = 0
    for _ in range(60):
        place = generator.randrange(len(whole))
        flipped = whole[place] ^ (1 << generator.randrange(8))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        for variable in other.variables:
            variable.assign(np.zeros(variable.shape))
        try:
            state = checkpoints.load(every(other), 1)
        except UserError:  # the changed byte may be in a name in the archive's index
            state = None
        if state is None:
            noticed += 1
        else:
            assert equal(tiny, model, other)
    assert noticed > 30


def test_a_damaged_newest_file_is_left_out_and_removed(make, checkpoints):
    model = make()
    checkpoints.save(every(model), State(step=1))
    checkpoints.save(every(model), State(step=2))
    checkpoints.path(2).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"step-00000002.npz is damaged"):
        assert checkpoints.restore(every(model)).step == 1
    assert checkpoints.steps() == [1]


def test_only_damaged_files_are_an_error(make, checkpoints):
    model = make()
    checkpoints.save(every(model), State(step=1))
    checkpoints.path(1).write_bytes(b"PK")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(UserError, match=r"All checkpoints in .* are damaged"),
    ):
        checkpoints.restore(every(model))


def test_another_model_is_an_error(tiny, make, checkpoints):
    def wider():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="dense")])

    def narrower():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])

    checkpoints.save(every(make(wider)), State(step=1))
    with pytest.raises(
        UserError, match=r"another model: .*kernel' must be float32 \(3, 2\). Received: float32 \(3, 4\)"
    ):
        checkpoints.restore(every(make(narrower)))
    with pytest.raises(UserError, match=r"another model: only the (file|model) has '.*'"):
        checkpoints.restore(every(make()))


def test_other_settings_are_an_error(make, checkpoints, tmp_path):
    checkpoints.save(every(make()), State(step=1))
    with pytest.raises(UserError, match=r"^`steps` must be 20, as in .*npz\. Received: steps=30\."):
        Checkpoints(tmp_path, {"steps": 30}).restore(every(make()))


def test_a_weight_that_is_not_finite_is_not_saved(make, checkpoints):
    model = make()
    checkpoints.save(every(model), State(step=1))
    kernel = model.get_layer("logits").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(NotFinite, match=r"Step 2: the variable '.*logits/kernel' is not finite. .*step-00000001.npz"):
        checkpoints.save(every(model), State(step=2))
    assert checkpoints.steps() == [1]


def test_a_full_disk_is_told_and_leaves_nothing(make, checkpoints, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoints.save(every(make()), State(step=1))
    assert failures.explain(caught.value) == (f"the disk is full (writing {checkpoints.path(1)})", 1)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_kill_are_removed(tmp_path):
    (tmp_path / "step-00000001.npz.unfinished").write_bytes(b"half")
    Checkpoints(tmp_path, SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_state_is_all_json():
    state = State()
    state.sums_of("model")
    assert json.loads(json.dumps(dataclasses.asdict(state))) == dataclasses.asdict(state)
