"""`ikelos predict --server`, against real servers of a fake model."""

import importlib.util
import json
import pathlib
import socket

import pytest

_PATH = pathlib.Path(__file__).parents[2] / "serving" / "client" / "fake.py"
_spec = importlib.util.spec_from_file_location("fake", _PATH)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def model():
    return fake.Model()


@pytest.fixture(params=["grpc", "rest"])
def served(request, model, monkeypatch):
    """Returns the options that name a model on a server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if request.param == "grpc":
        server, port = fake.serve_grpc(model)
        yield ("--server", f"127.0.0.1:{port}", "--model", "toy")
        server.stop(0)
    else:
        server, port = fake.serve_http(model)
        yield ("--server", f"127.0.0.1:{port}", "--model", "toy", "--rest")
        server.shutdown()
        server.server_close()


def test_outputs_are_printed_as_those_of_a_path(ikelos_command, served):
    result = ikelos_command("predict", *served, "--input", "x=1", "--input", "x=2.5")
    assert (result.status, result.err) == (0, "")
    lines = [line.strip() for line in result.out.splitlines()]
    assert lines == [f"serving_default  toy at {served[1]}", "", "row 1", "y  2.5", "", "row 2", "y  3.25"]
    result = ikelos_command("predict", *served, "--input", "x=1", "--output", "json")
    assert json.loads(result.out) == {"y": [2.5]}


def test_a_version_and_a_timeout_are_passed_on(ikelos_command, served, model):
    result = ikelos_command("predict", *served, "--version", 2, "--timeout", 60, "--input", "x=1")
    assert (result.status, result.err) == (0, "")
    assert set(model.versions) == {2}
    model.answering.clear()
    try:
        result = ikelos_command("predict", *served, "--timeout", 0.2, "--input", "x=1")
    finally:
        model.answering.set()
    assert result.status == 1
    assert result.err.endswith("(DEADLINE_EXCEEDED)\n")


def test_files_go_in_and_out(ikelos_command, served, model, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    given = ("--input", f"image_bytes={tmp_path}/a.png", "--input", "text=é", "--input", "length=3")
    result = ikelos_command("predict", *served, "--signature", "echo", *given, "--save", tmp_path / "out")
    assert (result.status, result.err) == (0, "")
    assert (tmp_path / "out" / "image-1.png").read_bytes() == PNG
    assert model.requests[0]["image_bytes"].tolist() == [PNG]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--signature", "ech"],
            "--signature must be one of decode_step, detokenize, echo, prefill, serving_default. Received: ech",
        ),
        (["--input", "y=1"], "--input y=1: an input must be one of x (float32). Received: y"),
        ([], "x must be given, as --input x=VALUE (float32, shape (any,)). Received: no value"),
    ],
)
def test_bad_input_is_one_line(ikelos_command, served, arguments, line):
    result = ikelos_command("predict", *served, *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"Error: {line}\n")


@pytest.mark.parametrize(
    ("code", "message", "line", "status"),
    [
        (
            "INVALID_ARGUMENT",
            "assertion failed: [`x` must be 1. Received:] [2]\n\t [[{{node Assert}}]]",
            "`x` must be 1. Received: 2 (INVALID_ARGUMENT)",
            2,
        ),
        ("NOT_FOUND", "Servable not found", "Servable not found (NOT_FOUND)", 2),
        ("INTERNAL", "broken", "broken (INTERNAL)", 1),
    ],
)
def test_errors_of_the_server_are_one_line(ikelos_command, served, model, code, message, line, status):
    model.faults = [fake.FaultError(code, message)]
    result = ikelos_command("predict", *served, "--input", "x=1")
    assert (result.status, result.out, result.err) == (status, "", f"Error: {line}\n")


def test_no_server_is_one_line(ikelos_command, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        for options in ([], ["--rest"]):
            result = ikelos_command("predict", "--server", address, "--model", "toy", *options, "--input", "x=1")
            assert (result.status, result.out) == (1, "")
            assert result.err.endswith("(UNAVAILABLE)\n")
            assert "onnection refused" in result.err or "onnection failed" in result.err
            assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Either PATH or --server HOST:PORT must be given. Received: neither"),
        (
            ["run", "--server", "a:1"],
            "Either PATH or --server HOST:PORT must be given. Received: PATH run and --server a:1",
        ),
        (["run", "--rest"], "--rest must come with --server. Received: PATH run"),
        (["run", "--tls-roots", "a.pem"], "--tls-roots must come with --server. Received: PATH run"),
        (
            ["--server", "a:1", "--model", "toy", "--tls-roots", "none.pem"],
            "--tls-roots none.pem: cannot read it: no such file or folder",
        ),
        (["run", "--model", "toy"], "--model must come with --server. Received: PATH run"),
        (["--server", "a:1"], "--model NAME must come with --server a:1. Received: no name"),
        (
            ["--server", "http://a:1", "--model", "toy"],
            "--server: `server` must be HOST:PORT. Received: server='http://a:1'",
        ),
    ],
)
def test_options_that_do_not_fit_are_one_line(ikelos_command, arguments, line):
    result = ikelos_command("predict", *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"Error: {line}\n")
