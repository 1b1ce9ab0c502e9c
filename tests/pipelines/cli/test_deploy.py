import shutil
import subprocess

import pytest
import tensorflow as tf
import yaml

from ikelos.serving import Signature, export

SERVING = {
    "versions": 1,
    "batching": None,
    "cpus": 3.0,
    "memory_gib": 2.0,
    "replicas": 1,
    "max_replicas": 2,
    "cpu_percent": 50,
    "request_mib": 1,
    "timeout_seconds": 10,
    "poll_seconds": 1,
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Returns a base path with the versions 1 and 2 of a model."""
    base = tmp_path_factory.mktemp("models") / "double"
    x = tf.TensorSpec([None], tf.float32)
    signature = Signature("serving_default", lambda x: {"y": 2 * x}, {"x": x}, {"x": [1]}, "Twice the input.")
    export(base, tf.Module(), [signature])
    shutil.copytree(base / "1", base / "2")
    return base


@pytest.fixture
def run(exported, tmp_path):
    """Returns the folder of a run, whose recipe has a section `serving`."""
    folder = tmp_path / "a run"
    shutil.copytree(exported, folder / "export")
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"task": "points", "serving": SERVING}))
    return folder


def compose(folder):
    return yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]["serving"]


def test_a_run_is_rendered_with_the_settings_of_its_recipe(ikelos_command, run, tmp_path):
    result = ikelos_command("deploy", "render", run, "--to", tmp_path / "out", "--set", "serving.memory_gib=1")
    assert (result.status, result.err) == (0, "")
    assert str(tmp_path / "out" / "README.md") in result.out
    service = compose(tmp_path / "out")
    assert (service["cpus"], service["mem_limit"]) == (3.0, "1024m")
    assert {"type": "bind", "source": str(run / "export"), "target": "/models/a_run", "read_only": True} in (
        service["volumes"]
    )


def test_a_base_path_gets_the_name_that_it_is_given(ikelos_command, exported, tmp_path):
    assert ikelos_command("deploy", "render", f"twice={exported}", exported, "--to", tmp_path / "out").status == 0
    targets = [mount["target"] for mount in compose(tmp_path / "out")["volumes"]]
    assert targets == ["/config", "/models/twice", "/models/double"]


def test_the_models_of_a_server_agree_on_its_settings(ikelos_command, run, exported, tmp_path):
    result = ikelos_command("deploy", "render", run, exported, "--to", tmp_path / "out")
    assert result.status == 2
    assert result.err.startswith("Error: `serving.cpus` must be the same for all models of a server: set it by --set. ")


def test_a_release_is_promoted_tried_and_rolled_back(ikelos_command, exported, tmp_path):
    folder = tmp_path / "out"
    ikelos_command("deploy", "render", exported, "--to", folder)
    options = [folder, "--model", "double", "--offline"]
    result = ikelos_command("deploy", "promote", *options, "--version", 1)
    assert (result.status, result.err) == (0, "")
    assert "canary 1, stable 1" in result.out
    assert f"docker compose -f {folder}/docker-compose.yml exec proxy nginx" in result.out
    assert "canary 2, stable 1" in ikelos_command("deploy", "canary", *options, "--version", 2, "--share", 5).out
    assert "5% canary;" in (folder / "proxy" / "labels.conf").read_text()
    assert "canary 1, stable 1" in ikelos_command("deploy", "rollback", *options).out
    missing = ikelos_command("deploy", "promote", *options, "--version", 3)
    assert missing.status == 2
    assert missing.err == f"Error: {exported} must have version 3, for the label canary. Received: 1, 2\n"


def test_kubernetes_has_no_server_to_ask(ikelos_command, exported, tmp_path):
    folder = tmp_path / "out"
    ikelos_command("deploy", "render", exported, "--to", folder, "--on", "kubernetes", "--claim", "models")
    result = ikelos_command("deploy", "promote", folder, "--model", "double", "--version", 1)
    assert (result.status, result.err) == (0, "")
    assert f"kubectl apply -k {folder}" in result.out
    result = ikelos_command("deploy", "promote", folder, "--model", "double", "--version", 2, "--server", "a:1")
    assert result.err == "Error: `--server` must come with Compose, and without --offline. Received: --server a:1\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--on", "swarm"], "`--on` must be one of compose, kubernetes, kserve. Received: --on swarm"),
        (["--on", "kubernetes"], "`claim` must come with the platform kubernetes, and only there"),
        (["--tls-key", "x"], "`--tls-certificate` and `--tls-key` must come together. Received: one of them"),
        (["--client-ca", "x"], "`--client-ca` must come with --tls-certificate. Received: no certificate"),
        (["--name", "A"], "`name` must match"),
        (["--set", "serving.cpus=0"], "--set serving.cpus=0: serving.cpus must be greater than 0. Received: 0"),
    ],
)
def test_wrong_options_are_told_in_one_line(ikelos_command, exported, tmp_path, options, message):
    result = ikelos_command("deploy", "render", exported, "--to", tmp_path / "out", *options)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_server_that_does_not_answer_is_told(ikelos_command, exported, tmp_path):
    ikelos_command("deploy", "render", exported, "--to", tmp_path / "out")
    options = ["--model", "double", "--version", 1, "--server", "127.0.0.1:1"]
    result = ikelos_command("deploy", "promote", tmp_path / "out", *options)
    assert result.status == 2
    assert "no TensorFlow Serving answers at 127.0.0.1:1" in result.err
    assert "use --offline if it is not running" in result.err


def test_a_certificate_is_rendered(ikelos_command, exported, tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True)
    files = ["--tls-certificate", tmp_path / "crt", "--tls-key", tmp_path / "key"]
    assert ikelos_command("deploy", "render", exported, "--to", tmp_path / "out", *files).status == 0
    assert compose(tmp_path / "out")["ports"][0] == "8500:8500"
