import importlib.util
import pathlib

import pytest

from ikelos.serving.deploy import Batching, Platform, Served, Settings, Target, render


def _load(name):
    # Tests are no package, so that a helper beside them is loaded by its path.
    spec = importlib.util.spec_from_file_location(name, pathlib.Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_server = _load("fake_server")


@pytest.fixture
def settings():
    return Settings(
        versions=2,
        batching=Batching(1000, 2, 64, False),
        cpus=1.5,
        memory_gib=2.5,
        replicas=2,
        max_replicas=5,
        cpu_percent=60,
        request_mib=7,
        timeout_seconds=30,
        poll_seconds=3,
    )


@pytest.fixture
def models(tmp_path):
    """Returns two models with versions 1 to 9, which are empty folders."""
    for name in ("models/lm", "a 'b' $c"):
        for number in range(1, 10):
            (tmp_path / name / str(number)).mkdir(parents=True)
    sizes = {"variable": {}, "batch_sizes": (1, 2, 4, 8)}
    return [Served("lm", tmp_path / "models" / "lm", **sizes), Served("v.2", tmp_path / "a 'b' $c", **sizes)]


@pytest.fixture
def folder(tmp_path, models, settings):
    """Returns a folder that was rendered for Compose."""
    return render(models, settings, Target(Platform.COMPOSE), tmp_path / "deployment")


@pytest.fixture
def server(folder):
    """Returns a server that follows the folder; versions 1 to 9 are on its disk."""
    return fake_server.FakeServer(folder / "config" / "models.config", set(range(1, 10)))
