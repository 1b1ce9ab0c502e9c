import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from ikelos import kernels
from ikelos.pipelines.training import history
from ikelos.pipelines.training.profile import Profile, native_shares


def profile_of(tmp_path, *threads):
    """Returns the file of a profile with events `(name, start, duration)` on each thread."""
    space = xplane_pb2.XSpace()
    plane = space.planes.add()
    for events in threads:
        line = plane.lines.add()
        for name, start, duration in events:
            key = len(plane.event_metadata)
            plane.event_metadata[key].name = name
            line.events.add(metadata_id=key, offset_ps=start, duration_ps=duration)
    path = tmp_path / "host.xplane.pb"
    path.write_bytes(space.SerializeToString())
    return path


def test_an_op_has_its_own_time_on_its_thread(tmp_path):
    one = [
        ("model/call:StatefulPartitionedCall", 0, 50),
        ("model/attention:IkelosAttention", 10, 20),
        ("Run::Op", 0, 90),
    ]
    other = [("model/dense:MatMul", 0, 20), ("model/lstm:IkelosLstm", 60, 30), ("ParallelFor", 60, 30)]
    assert native_shares(profile_of(tmp_path, one, other)) == {"IkelosLstm": 0.3, "IkelosAttention": 0.2}


def test_ops_of_a_graph_are_found(tmp_path):
    @tf.function
    def step(x, implementation):
        return kernels.attention(x, x, x, implementation=implementation) @ tf.ones([8, 8])

    x = tf.ones([2, 50, 2, 8])
    found = {}
    for implementation in ("native", "reference"):
        step(x, implementation)
        profile = Profile(tmp_path / implementation, (3, 4), jit_compile=False)
        records = []
        for number in range(1, 6):
            profile.before(number)
            step(x, implementation)
            records.append(profile.after(number))
        assert [record is None for record in records] == [True, True, True, False, True]
        found[implementation] = records[3]["native_ops"]
    assert list(found["native"]) == ["IkelosAttention"]
    assert 0 < found["native"]["IkelosAttention"] < 1
    assert found["reference"] == {}


@pytest.mark.usefixtures("_eager")
def test_a_profile_is_kept_only_if_asked_for_and_recorded_only_without_xla(tiny, tmp_path):
    for name, settings, kept, recorded in (
        ("measured", {}, False, True),
        ("kept", {"profile_steps": (7, 10)}, True, True),
        ("compiled", {"profile_steps": (7, 10), "jit_compile": True}, True, False),
    ):
        tiny.fit(tiny.stage(), tiny.training(steps=10, **settings), tmp_path / name)
        events = [record["event"] for record in history.read(tmp_path / name / "history.jsonl")]
        assert bool(list((tmp_path / name / "tensorboard").glob("plugins/profile/*/*.xplane.pb"))) == kept
        assert ("profile" in events) == recorded


def test_a_profile_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    profile = Profile(tmp_path / "tensorboard", None, jit_compile=False)
    profile.before(8)
    assert list(tmp_path.iterdir())
    profile.close()
    assert not list(tmp_path.iterdir())


def test_beside_a_profiler_of_the_user_nothing_is_measured(tmp_path):
    tf.profiler.experimental.start(str(tmp_path))
    try:
        profile = Profile(tmp_path, None, jit_compile=False)
        profile.before(8)
        assert profile.after(10) is None
    finally:
        tf.profiler.experimental.stop(save=False)


@pytest.mark.parametrize("steps", [(1, 7), (20, 30)])
def test_other_steps_are_not_profiled(tmp_path, steps):
    profile = Profile(tmp_path, steps, jit_compile=False)
    profile.before(8)
    assert profile.after(8) is None
    profile.close()
