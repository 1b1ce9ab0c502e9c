import os

import numpy as np
import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import runner
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.tfx import steps
from ikelos.pipelines.training import checkpoint


class Pipeline:
    """A pipeline in a folder, run again and again with changed recipes."""

    def __init__(self, folder):
        self.folder = folder

    def compiled(self, recipe):
        from ikelos.pipelines.tfx import build, compiled

        metadata = self.folder / "metadata" / "metadata.sqlite"
        place = build.Place(str(self.folder / "artifacts"), str(self.folder / "served"), metadata)
        return compiled.compile_pipeline(build.pipeline(recipe, place))

    def run(self, recipe, first=None):
        from ikelos.pipelines.tfx import local

        return local.run(self.compiled(recipe), first)

    def versions(self):
        return sorted(path.name for path in (self.folder / "served").glob("*") if path.name.isdecimal())

    def artifact(self, node, kind):
        """The newest artifact of a node."""
        return max((self.folder / "artifacts" / node / kind).iterdir(), key=lambda path: int(path.name))


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline(tmp_path / "pipeline")


@pytest.fixture
def weights():
    """Gives every variable of a run's newest checkpoints, as bytes by name."""

    def of(run):
        found = {}
        for stage in sorted(path.name for path in run.stages.iterdir()):
            with np.load(checkpoint.newest(run.checkpoints(stage))) as file:
                found |= {f"{stage}/{name}": file[name].tobytes() for name in file.files if name != "about"}
        return found

    return of


@pytest.fixture
def model(tmp_path):
    """The folder of files that look like those of a SavedModel."""
    folder = tmp_path / "model"
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "variables").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    for number in range(3):
        (folder / "variables" / f"variables.data-0000{number}-of-00003").write_bytes(b"weights" * number)
    return folder


@pytest.fixture(scope="session")
def s3_server():
    """The address of an object store that speaks S3."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(s3_server, tmp_path, monkeypatch):
    """The URL of a new bucket in this store, to which processes that a test starts have access too."""
    import s3fs

    # Other variables and files may name real credentials.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = tmp_path.name.replace("_", "-").lower()
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def tiny_lstm(tiny, tmp_path):
    """Returns a function that loads the tiny recipe of language modelling with the smallest graphs, and overrides.

    Tracing, saving and loading graphs takes most of the time of a tiny pipeline: those of sample texts are large, and
    those of an LSTM small.
    """
    lstm = "model={architecture: lstm, context: 16, num_layers: 1, size: 16, dropout: 0.0}"
    path = tmp_path / "tiny.yaml"

    def load(*overrides):
        path.write_text(recipes.dump(tiny(lstm, "evaluation.samples.prompts=[]")))
        return recipes.load(path, overrides)

    return load


@pytest.fixture
def without_export(tmp_path, monkeypatch):
    """Leaves out the export, which takes most of the time of a tiny training."""
    (tmp_path / "no model").mkdir()
    monkeypatch.setattr(runner, "newest_export", lambda *_: tmp_path / "no model")


@pytest.fixture
def trained_run(monkeypatch):
    """Trains a recipe in a folder as `ikelos run` does, and stops before the evaluation, which takes longer."""

    def stop(*_):
        raise KeyboardInterrupt

    def train(recipe, folder):
        with monkeypatch.context() as patch:
            patch.setattr(runner, "measure", stop)
            with pytest.raises(KeyboardInterrupt):
                runner.run(recipe, folder)
        return Folder(folder)

    return train


@pytest.fixture
def through(tmp_path):
    """Takes a recipe from its source to a trained run; gives the folders of all steps by name.

    With `start`, a `steps.Served`, the training begins with that run.
    """

    def go(recipe, place="pipeline", start=None):
        folders = {name: tmp_path / place / name for name in ("examples", "prepared", "evaluation")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        steps.read(recipe, folders["examples"])
        staging = tmp_path / place / "staging"
        steps.prepare(recipe, folders["examples"], folders["prepared"], staging, start=start)
        folders |= {name: tmp_path / place / name for name in ("run", "model")}
        steps.train(recipe, folders["prepared"], folders["run"], folders["model"], start and start.folder)
        return folders

    return go
