"""Artifacts and versions in an object store that speaks S3, in a server of this machine."""

import os
import signal
import subprocess
import sys

import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import push, storage

pytestmark = pytest.mark.tfx

KILLED_PUSH = """
import os, pathlib, signal, sys
import s3fs
from ikelos.pipelines.tfx import push

put, done = s3fs.S3FileSystem.put_file, []

def put_file(self, *arguments):
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(put(self, *arguments))

s3fs.S3FileSystem.put_file = put_file
push.push(pathlib.Path(sys.argv[1]), sys.argv[2], "runs/killed")
"""


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(uri):
    """The files below a URI, by their paths."""
    import s3fs

    system, place = s3fs.S3FileSystem(), uri.removeprefix("s3://")
    return {path.removeprefix(f"{place}/"): system.cat_file(path) for path in system.find(place, refresh=True)}


def test_an_artifact_is_fetched_as_it_was_published(bucket):
    uri = f"{bucket}/artifacts/Trainer/model/6"
    large = os.urandom(6 << 20)  # two parts of an upload in parts
    with storage.published(uri) as folder:
        (folder / "inner" / "innermost").mkdir(parents=True)
        (folder / "inner" / "innermost" / "file").write_bytes(large)
        (folder / "empty").touch()
        (folder / "é [1] #?%20").write_bytes(b"name")
        written = content(folder)
    with storage.fetched(uri) as folder:
        assert content(folder) == written | {storage.COMPLETE: b""}
    assert storage.read(f"{uri}/é [1] #?%20") == b"name"


def test_half_an_artifact_is_refused(bucket):
    uri = f"{bucket}/artifacts/Trainer/model/7"
    with storage.published(uri) as folder:
        (folder / "file").write_bytes(b"content")
    import s3fs

    s3fs.S3FileSystem().rm(f"{uri}/{storage.COMPLETE}")
    with pytest.raises(UserError, match="must be a complete artifact"), storage.fetched(uri):
        pass
    with pytest.raises(UserError, match="must be a complete artifact"), storage.fetched(f"{bucket}/none"):
        pass


def test_versions_are_counted_as_numbers(bucket, model):
    base = f"{bucket}/served"
    assert (push.newest_version(base), push.served(base)) == (None, None)
    storage.write(f"{base}/9/saved_model.pb", b"")
    for number in (10, 11):
        assert push.push(model, base, f"runs/{number}") == f"{base}/{number}"
    assert (push.newest_version(base), push.served(base)) == (11, "runs/11")
    assert stored(f"{base}/11") == content(model) | {push.SOURCE: b'{"run": "runs/11"}\n'}


def test_a_push_that_was_killed_shows_no_version_and_leaves_no_file_in_the_next(bucket, model):
    base = f"{bucket}/served"
    for newest in (None, 1):
        (model / "variables" / f"of run {newest}").touch()
        killed = subprocess.run([sys.executable, "-c", KILLED_PUSH, str(model), base], check=False)
        assert killed.returncode == -signal.SIGKILL
        version = f"{base}/{(newest or 0) + 1}"
        assert f"variables/of run {newest}" in stored(version)
        assert push.newest_version(base) == newest
        assert push.served(base) == (None if newest is None else f"runs/{newest}")
        (model / "variables" / f"of run {newest}").unlink()
        run = f"runs/{(newest or 0) + 1}"
        assert push.push(model, base, run) == version
        assert push.served(base) == run
        assert stored(version).keys() == content(model).keys() | {push.SOURCE}
