import json
import socket

import pytest

from ikelos.serving import CheckFailed
from ikelos.serving.card import FILE as CARD
from ikelos.serving.deploy import (
    Platform,
    Release,
    ReleaseError,
    Releases,
    RunningServer,
    Target,
    model_config,
    releases,
    render,
)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(releases, "_PAUSE", 0)


@pytest.fixture
def address(server):
    with server.listening() as address:
        yield address


@pytest.fixture
def change(folder, address):
    """Returns a function that changes the release of `lm` and waits for the server."""

    def call(name, *arguments, patience=20, check=lambda version: None):
        with Releases(folder, RunningServer(address), patience, check) as changes:
            return getattr(changes, name)("lm", *arguments)

    return call


def texts(folder):
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def share(folder):
    return [line.split()[0] for line in (folder / "proxy" / "labels.conf").read_text().splitlines() if "%" in line]


def test_a_model_goes_from_the_newest_versions_to_a_stable_one(change, server):
    assert server.states == {("lm", 8): "LOADING", ("lm", 9): "LOADING", ("v.2", 8): "LOADING", ("v.2", 9): "LOADING"}
    assert change("promote", 7) == Release((7,), {"stable": 7, "canary": 7})
    assert server.labels == {("lm", "stable"): 7, ("lm", "canary"): 7}
    available = {key for key, state in server.states.items() if state == "AVAILABLE"}
    assert available == {("lm", 7), ("v.2", 8), ("v.2", 9)}


def test_labels_move_only_to_versions_that_the_server_has(change, server, folder):
    change("promote", 1)
    assert change("canary", 2, 10) == Release((1, 2), {"stable": 1, "canary": 2})
    assert share(folder) == ["10%"]
    assert change("canary", 3, 25) == Release((1, 3), {"stable": 1, "canary": 3})
    assert share(folder) == ["25%"]
    assert change("promote", 3) == Release((1, 3), {"stable": 3, "canary": 3})
    assert share(folder) == []
    assert change("promote", 9) == Release((3, 9), {"stable": 9, "canary": 9})
    assert server.refused == []
    assert server.labels == {("lm", "stable"): 9, ("lm", "canary"): 9}


def test_a_rollback_goes_back_step_by_step(change, server, folder):
    change("promote", 1)
    change("canary", 2, 10)
    change("promote", 2)
    change("promote", 3)
    assert change("rollback") == Release((1, 2), {"stable": 2, "canary": 2})
    assert change("rollback") == Release((1, 2), {"stable": 1, "canary": 2})
    assert share(folder) == ["10%"]
    assert change("rollback") == Release((1,), {"stable": 1, "canary": 1})
    assert share(folder) == []
    before = texts(folder)
    with pytest.raises(ReleaseError, match="lm must have an earlier release to return to"):
        change("rollback")
    assert texts(folder) == before
    assert server.refused == []


def test_a_rollback_ends_a_canary_whose_share_grew(change, folder):
    change("promote", 1)
    for percent in (1, 10, 50):
        change("canary", 2, percent)
    assert share(folder) == ["50%"]
    assert change("rollback") == Release((1,), {"stable": 1, "canary": 1})
    assert share(folder) == []


def test_a_version_that_the_server_cannot_load_gets_no_label(change, server, folder):
    change("promote", 1)
    change("promote", 2)
    before = (folder / "config" / "models.config").read_text()
    server.broken.add(3)
    with pytest.raises(ReleaseError, match=r"within 0.1 s; .*version 3 END. config/models.config is as it was"):
        change("promote", 3, patience=0.1)
    assert (folder / "config" / "models.config").read_text() == before
    assert change("rollback") == Release((1,), {"stable": 1, "canary": 1})


def test_only_a_version_that_passes_the_check_gets_a_label(change, folder, models):
    checked = []
    change("promote", 1, check=checked.append)
    change("canary", 2, 1, check=checked.append)
    change("promote", 2, check=checked.append)
    assert checked == [models[0].base_path / "1", models[0].base_path / "2"]
    before = texts(folder)

    def fails(version):
        raise CheckFailed(f"{version} is broken")

    with pytest.raises(CheckFailed, match="3 is broken"):
        change("promote", 3, check=fails)
    assert texts(folder) == before


def test_the_stock_check_is_the_default(folder):
    with (
        Releases(folder, None, 1) as changes,
        pytest.raises(CheckFailed, match=r"models/lm/5 must be the folder of a SavedModel"),
    ):
        changes.promote("lm", 5)


def native_version(models, number):
    card = models[0].base_path / str(number) / CARD
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"flavour": "native", "warmup_batch_sizes": [1], "signatures": {}, "files": {}}))


def test_a_version_with_native_ops_gets_no_label_on_a_stock_server(change, folder, models):
    native_version(models, 3)
    with pytest.raises(ReleaseError, match=r"models/lm/3 must have the flavour portable, .*Received: native"):
        change("promote", 3)
    assert json.loads((folder / "releases.json").read_text())["models"]["lm"]["history"] == []


def test_a_version_with_native_ops_gets_a_label_on_a_server_that_links_them(models, settings, tmp_path):
    native_version(models, 3)
    folder = render(models, settings, Target(Platform.COMPOSE, image="example.org/ours:1"), tmp_path / "native")
    with Releases(folder, None, 1, check=lambda version: None) as changes:
        assert changes.promote("lm", 3) == Release((3,), {"stable": 3, "canary": 3})


def test_a_change_that_makes_no_sense_is_an_error(change, folder):
    before = texts(folder)
    with pytest.raises(ReleaseError, match="lm must have a stable version before a canary: promote one first"):
        change("canary", 2, 10)
    assert texts(folder) == before
    change("promote", 1)
    before = texts(folder)
    with pytest.raises(ReleaseError, match=r"`version` must be another than the stable one. Received: version=1"):
        change("promote", 1)
    with pytest.raises(ReleaseError, match=r"`version` must be another than the stable one"):
        change("canary", 1, 10)
    with pytest.raises(ValueError, match=r"`share` must be from 0 to 99. Received: share=100"):
        change("canary", 2, 100)
    assert texts(folder) == before
    change("canary", 2, 10)
    with pytest.raises(ReleaseError, match="the release of lm must change"):
        change("canary", 2, 10)


def test_a_server_that_is_not_there_changes_nothing(folder):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        before = texts(folder)
        server = RunningServer(f"127.0.0.1:{closed.getsockname()[1]}")
        with (
            Releases(folder, server, 1, print) as changes,
            pytest.raises(ConnectionError, match="no TensorFlow Serving"),
        ):
            changes.promote("lm", 5)
        assert texts(folder) == before


def test_a_server_that_follows_another_folder_changes_nothing(change, server, folder):
    change("promote", 1)
    server.look = lambda: None
    server.labels["lm", "stable"], server.states["lm", 2] = 2, "AVAILABLE"
    before = texts(folder)
    with pytest.raises(ReleaseError, match="Received: the label stable at 2, not at 1"):
        change("promote", 3, patience=0.1)
    assert texts(folder) == before


def test_without_a_server_a_change_is_one_write(folder, monkeypatch):
    written = []
    monkeypatch.setattr(releases.Releases, "_write_config", lambda self, model, release: written.append(release))
    with Releases(folder, None, 1, lambda version: None) as changes:
        changes.promote("lm", 5)
    assert written == [Release((5,), {"stable": 5, "canary": 5})]


@pytest.mark.parametrize("writes", range(4))
def test_a_killed_change_can_be_repeated_and_taken_back(change, server, folder, monkeypatch, writes):
    change("promote", 1)
    change("promote", 2)
    write, left = releases.files.write, [writes]

    def limited(path, text):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(releases.files, "write", limited)
        # Without a server, which could not be told either: records, configuration, records, share.
        with Releases(folder, None, 1, print) as changes, pytest.raises(KeyboardInterrupt):
            changes.canary("lm", 2 + 1, 10)
    now = model_config.read((folder / "config" / "models.config").read_text(), "lm")
    assert now.labels["canary"] == (2 if writes < 2 else 3)
    server.labels = {("lm", label): version for label, version in now.labels.items()}
    if writes < 3:  # what was written last is the share
        assert change("canary", 3, 10) == Release((2, 3), {"stable": 2, "canary": 3})
        assert share(folder) == ["10%"]
    assert change("rollback") == Release((1, 2), {"stable": 2, "canary": 2})
    assert share(folder) == []


def test_a_hand_edit_survives(change, folder):
    config = folder / "config" / "models.config"
    logging = "logging_config { sampling_config { sampling_rate: 0.5 } }"
    config.write_text(config.read_text().replace('name: "lm"', f'name: "lm" {logging}'))
    change("promote", 1)
    change("promote", 2)
    change("rollback")
    assert "sampling_rate: 0.5" in config.read_text()


def labelled_by_hand(server, folder):
    """Gives a model that follows the newest versions, 8 and 9, a label."""
    config = folder / "config" / "models.config"
    label = 'version_labels { key: "stable" value: 8 }'
    config.write_text(config.read_text().replace('name: "lm"', f'name: "lm" {label}'))
    for _ in range(2):
        server.look()
    assert server.refused == []
    return config.read_text()


def test_labels_beside_the_newest_versions_are_kept(change, server, folder):
    labelled_by_hand(server, folder)
    assert change("promote", 3) == Release((3, 8), {"stable": 3, "canary": 3})
    assert change("rollback") == Release((8,), {"stable": 8})
    assert change("canary", 2, 1) == Release((2, 8), {"stable": 8, "canary": 2})
    assert server.refused == []


def test_a_failed_change_leaves_the_newest_versions(change, server, folder):
    before = labelled_by_hand(server, folder)
    server.broken.add(3)
    with pytest.raises(ReleaseError, match="is as it was"):
        change("promote", 3, patience=0.1)
    assert (folder / "config" / "models.config").read_text() == before


def test_two_changes_at_once_are_refused(folder):
    with Releases(folder, None, 1), pytest.raises(ReleaseError, match="another process is changing"):
        Releases(folder, None, 1).__enter__()
    with Releases(folder, None, 1):
        pass


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match=r"`folder` must be one that was rendered, with a releases.json"):
        Releases(tmp_path, None, 1).__enter__()


def test_the_records_name_the_base_paths(folder, models):
    records = json.loads((folder / "releases.json").read_text())["models"]
    assert {name: record["base_path"] for name, record in records.items()} == {
        model.name: str(model.base_path) for model in models
    }


def test_a_rollback_ends_the_canary_after_a_promotion_that_failed(change, server, folder):
    change("promote", 1)
    change("canary", 2, 10)
    server.broken.add(3)
    with pytest.raises(ReleaseError, match="is as it was"):
        change("promote", 3, patience=0.1)
    change("canary", 2, 50)
    assert change("rollback") == Release((1,), {"stable": 1, "canary": 1})
    assert share(folder) == []


def test_a_change_that_the_server_does_not_take_over_is_undone(change, server, folder):
    change("promote", 1)
    change("canary", 2, 10)
    before = texts(folder)
    server.look = lambda: None
    with pytest.raises(ReleaseError, match="is as it was"):
        change("promote", 2, patience=0.1)
    assert texts(folder) == before


def test_a_rollback_needs_the_version_that_was_stable(change, server, folder, models):
    change("promote", 1)
    change("promote", 2)
    change("promote", 3)
    (models[0].base_path / "1").rmdir()
    server.on_disk.remove(1)
    # Version 1 was only kept for a rollback.
    assert change("rollback") == Release((2,), {"stable": 2, "canary": 2})
    before = texts(folder)
    with pytest.raises(
        ReleaseError, match=r"lm must have version 1, for the label canary. Received: 2, 3, 4, 5, 6, 7, 8, 9"
    ):
        change("rollback", check=lambda version: pytest.fail("it is not there"))
    assert texts(folder) == before


def test_a_change_is_undone_after_the_server_took_it_over(change, server, folder, monkeypatch):
    change("promote", 1)
    change("canary", 2, 10)
    before = texts(folder)
    missing = RunningServer.missing

    def lost(self, model, labels, versions):
        found = missing(self, model, labels, versions)
        if server.labels["lm", "canary"] == 3:
            raise ConnectionError("the connection is lost")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RunningServer, "missing", lost)
        with pytest.raises(ConnectionError, match="is lost"):
            change("canary", 3, 10)
    assert texts(folder) == before
    for _ in range(2):
        server.look()
    assert server.refused == []
    assert server.labels == {("lm", "stable"): 1, ("lm", "canary"): 2}
    assert change("canary", 3, 20) == Release((1, 3), {"stable": 1, "canary": 3})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"models": 3}'])
def test_damaged_records_are_told_by_path(folder, content):
    (folder / "releases.json").write_text(content)
    with pytest.raises(ReleaseError, match=r"releases.json must be as `render` wrote it"):
        Releases(folder, None, 1).__enter__()
