import asyncio
import os
import shutil
import threading

import pytest
from grpc import StatusCode
from tests.serving.waiting import until_async

from ikelos.serving.server.discovery import find_models
from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.manager import Manager
from ikelos.serving.server.versions import State, Version


def states(manager, name="plain"):
    return {number: version.state.name for number, version in manager.models[name].items()}


def using(base, labels=None):
    """Runs an async function with a manager of `base` that has looked once, and closes the manager."""

    def decorate(function):
        async def run():
            manager = Manager(base, {"plain": labels or {}})
            await manager.poll()
            await function(manager)
            await manager.close()
            assert all(v.model is None for known in manager.models.values() for v in known.values())

        asyncio.run(run())

    return decorate


@pytest.fixture
def base(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "plain" / "1")
    return tmp_path / "plain"


async def until_freed(manager):
    await until_async(lambda: "UNLOADING" not in states(manager).values())


def test_the_newest_version_serves(base, plain):
    shutil.copytree(plain, base / "00000007")

    @using(base)
    async def check(manager):
        assert states(manager) == {7: "AVAILABLE"}
        assert manager.find("plain").number == manager.find("plain", 7).number == 7


def test_a_new_version_replaces_the_old_one_after_its_last_request(base, plain):
    @using(base)
    async def check(manager):
        old = manager.find("plain")
        with old.lease() as model:
            shutil.copytree(plain, base / "2")
            await manager.poll()
            assert states(manager) == {1: "UNLOADING", 2: "AVAILABLE"}
            assert manager.find("plain").number == 2
            await asyncio.sleep(0.1)
            assert model.run("serving_default", {"x": [2.0]})["y"].tolist() == [4]
        await until_freed(manager)
        assert states(manager) == {1: "END", 2: "AVAILABLE"}
        with pytest.raises(RuntimeError, match=r"version 1 of plain must be available. Received: END"):
            old.lease().__enter__()


def test_a_version_that_does_not_load_leaves_the_old_one_serving(base, plain):
    @using(base)
    async def check(manager):
        (base / "2").mkdir()
        await manager.poll()
        assert states(manager) == {1: "AVAILABLE", 2: "END"}
        failed = manager.models["plain"][2]
        assert failed.code is not StatusCode.OK
        assert str(base / "2") in failed.message
        assert manager.find("plain").number == 1
        await manager.poll()
        assert manager.models["plain"][2] is failed  # it is tried again only when its files change
        shutil.copytree(plain, base / "2", dirs_exist_ok=True)
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "END", 2: "AVAILABLE"}


def test_the_first_version_serves_before_it_has_warmed_up(version, tmp_path):
    shutil.copytree(version, tmp_path / "plain" / "1")

    @using(tmp_path / "plain")
    async def check(manager):
        first = manager.find("plain")
        assert not first.is_warm
        await until_async(lambda: first.is_warm)
        shutil.copytree(version, tmp_path / "plain" / "2")
        await manager.poll()
        assert manager.find("plain", 2).is_warm


def test_a_version_that_fails_its_warm_up_does_not_serve(version, tmp_path):
    extra = shutil.copytree(version, tmp_path / "plain" / "1") / "assets.extra"
    examples = extra / "ikelos_examples.json"
    examples.write_text(examples.read_text().replace('"words"', '"weeds"'))
    (extra / "tf_serving_warmup_requests").unlink()
    (extra / "ikelos_card.json").unlink()  # which would tell that a file is missing

    @using(tmp_path / "plain")
    async def check(manager):
        await until_async(lambda: states(manager) == {1: "END"})
        assert "must get the inputs ['words']. Received: ['weeds']" in manager.models["plain"][1].message


def test_a_new_version_that_fails_its_warm_up_leaves_the_old_one_serving(base, version):
    extra = shutil.copytree(version, base / "2") / "assets.extra"
    (extra / "tf_serving_warmup_requests").write_bytes(b"damaged")
    (extra / "ikelos_card.json").unlink()  # which would tell that a file has another size
    shutil.move(base / "2", base.parent / "away")

    @using(base)
    async def check(manager):
        shutil.move(base.parent / "away", base / "2")
        await manager.poll()
        assert states(manager) == {1: "AVAILABLE", 2: "END"}
        assert "must have complete TFRecords" in manager.models["plain"][2].message
        assert manager.models["plain"][2].model is None


def test_going_back_to_an_older_version(base, plain):
    shutil.copytree(plain, base / "2")

    @using(base)
    async def check(manager):
        os.rename(base / "2", base.parent / "away")
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "AVAILABLE", 2: "END"}
        os.rename(base.parent / "away", base / "2")
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "END", 2: "AVAILABLE"}


def test_labelled_versions_serve_besides_the_newest(base, plain):
    for number in ("2", "3"):
        shutil.copytree(plain, base / number)

    @using(base, {"stable": 1, "absent": 9})
    async def check(manager):
        assert states(manager) == {1: "AVAILABLE", 3: "AVAILABLE"}
        assert manager.find("plain").number == 3
        assert manager.find("plain", label="stable").number == 1
        assert manager.labels_of("plain", 1) == ["stable"]
        shutil.copytree(plain, base / "4")
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "AVAILABLE", 3: "END", 4: "AVAILABLE"}


@pytest.mark.parametrize(
    ("choice", "code", "message"),
    [
        (("", None, None), StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (("half", None, None), StatusCode.NOT_FOUND, "Servable not found for request: Latest(half)"),
        (("plain", 2, None), StatusCode.NOT_FOUND, "Servable not found for request: Specific(plain, 2)"),
        (("plain", None, "beta"), StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: beta"),
        (("plain", None, "absent"), StatusCode.NOT_FOUND, "Servable not found for request: Specific(plain, 9)"),
    ],
)
def test_what_is_not_there_is_answered_as_by_tensorflow_serving(base, choice, code, message):
    @using(base, {"absent": 9})
    async def check(manager):
        with pytest.raises(RequestError) as raised:
            manager.find(*choice)
        assert (raised.value.code, raised.value.message) == (code, message)


def test_models_come_and_go(base, plain):
    @using(base.parent)
    async def check(manager):
        assert manager.is_ready()
        shutil.copytree(plain, base.parent / "other" / "export" / "1")
        await manager.poll()
        assert states(manager, "other") == {1: "AVAILABLE"}
        shutil.rmtree(base)
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "END"}
        assert not manager.is_ready()
        assert manager.find("other").state is State.AVAILABLE


def test_watching_survives_errors(base, plain, caplog, monkeypatch):
    async def run():
        manager = Manager(base.parent, {})
        await manager.poll()
        poll, looks = manager.poll, []

        async def look():
            looks.append(1)
            if len(looks) == 4:  # here, so that no look finds a folder that is half gone
                shutil.rmtree(base.parent / "a b")
            await poll()

        monkeypatch.setattr(manager, "poll", look)
        watching = asyncio.create_task(manager.watch(0.01))
        shutil.copytree(plain, base.parent / "a b" / "1")
        shutil.copytree(plain, base.parent / "a_b" / "1")
        await until_async(lambda: "a_b" in manager.models and states(manager, "a_b") == {1: "AVAILABLE"})
        watching.cancel()
        await manager.close()

    caplog.set_level("ERROR", "ikelos.serving.server.manager")
    asyncio.run(run())
    (record,) = caplog.records  # once, although it looked three times
    assert "both a_b" in record.getMessage()


def test_a_link_to_itself_is_no_file_of_the_version(base):
    (base / "1" / "loop").symlink_to("loop")

    @using(base)
    async def check(manager):
        assert states(manager) == {1: "AVAILABLE"}


def test_models_warm_up_one_after_another(base, plain, monkeypatch):
    for name in "abc":
        shutil.copytree(plain, base.parent / name / "1")
    begun, go_on = [], threading.Event()

    def warm_up(version, model):
        begun.append(version.name)
        go_on.wait(60)
        version.is_warm = True

    monkeypatch.setattr(Version, "warm_up", warm_up)

    @using(base.parent)
    async def check(manager):
        shutil.rmtree(base.parent / "b")
        await manager.poll()
        await until_async(lambda: states(manager, "b") == {1: "END"} and begun)
        assert begun == ["a"]
        go_on.set()
        await until_async(lambda: manager.find("plain").is_warm)
        assert begun == ["a", "c", "plain"]


def test_a_folder_that_loses_its_versions_during_a_look(base, monkeypatch):
    @using(base)
    async def check(manager):
        def find_and_remove(path):
            found = find_models(path)
            if path == base:  # not those of the other tests' server
                shutil.rmtree(base / "1")
            return found

        monkeypatch.setattr("ikelos.serving.server.manager.find_models", find_and_remove)
        await manager.poll()
        await until_freed(manager)
        assert states(manager) == {1: "END"}
