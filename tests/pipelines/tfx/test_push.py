import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import push, storage


@pytest.fixture(params=["a file system", "an object store"])
def base(request, tmp_path):
    return str(tmp_path / "served") if request.param == "a file system" else f"memory://{tmp_path.name}/served"


def test_versions_count_up_and_name_their_run(model, base):
    assert push.served(base) is None
    assert push.push(model, base, "runs/1") == f"{base}/1"
    assert push.served(base) == "runs/1"
    assert push.push(model, base, "runs/2") == f"{base}/2"
    assert push.served(base) == "runs/2"
    assert push.push(model, base, "runs/2") == f"{base}/2"  # as after a kill
    assert push.newest_version(base) == 2


def test_a_version_in_a_store_shows_its_graph_last(model, tmp_path, monkeypatch):
    import fsspec

    system = fsspec.filesystem("memory")
    written, put, pipe = [], system.put_file, system.pipe_file
    monkeypatch.setattr(type(system), "put_file", lambda self, a, b: (written.append(b), put(a, b)))
    monkeypatch.setattr(type(system), "pipe_file", lambda self, a, b: (written.append(a), pipe(a, b)))
    base = f"memory://{tmp_path.name}/last"
    version = push.push(model, base, "runs/1").removeprefix("memory:/")
    assert len(written) == 5
    assert written[-1].endswith("/1/saved_model.pb")
    system.rm(f"{version}/saved_model.pb")  # as if the copy had been killed before
    assert push.served(base) is None
    assert push.push(model, base, "runs/2") == f"{base}/1"
    assert push.served(base) == "runs/2"


def test_files_that_no_pipeline_pushed_are_left_alone(model, tmp_path):
    base = f"memory://{tmp_path.name}/foreign"
    storage.write(f"{base}/1/saved_model.pbtxt", b"text")
    with pytest.raises(UserError, match=r"foreign/1 must be a version that a pipeline pushed, or not exist"):
        push.push(model, base, "runs/1")
    assert storage.read(f"{base}/1/saved_model.pbtxt") == b"text"


def test_a_version_that_is_not_from_a_pipeline_is_not_compared(model, tmp_path):
    (tmp_path / "served").mkdir()
    model.rename(tmp_path / "served" / "7")
    assert push.served(str(tmp_path / "served")) is None
