import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import storage


@pytest.fixture(params=["a file system", "an object store"])
def uri(request, tmp_path):
    return str(tmp_path / "artifact") if request.param == "a file system" else f"memory://{tmp_path.name}/artifact"


def test_what_was_published_is_fetched(uri):
    with storage.published(uri) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"content")
        (folder / "empty").touch()
    with storage.fetched(uri) as folder:
        assert (folder / "inner" / "file").read_bytes() == b"content"
        assert sorted(path.name for path in folder.iterdir()) == [storage.COMPLETE, "empty", "inner"]


def test_half_an_artifact_is_refused(uri):
    def die(folder):
        (folder / "file").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), storage.published(uri) as folder:
        die(folder)
    with pytest.raises(UserError, match="must be a complete artifact"), storage.fetched(uri):
        pass


def test_what_a_killed_node_left_is_gone(uri):
    with storage.published(uri) as folder:
        (folder / "old").touch()
    with storage.published(uri) as folder:
        (folder / "new").touch()
    with storage.fetched(uri) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [storage.COMPLETE, "new"]
