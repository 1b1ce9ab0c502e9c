import json

import numpy as np
import pytest

from ikelos.pipelines.cli.exported import find_version
from ikelos.pipelines.errors import UserError
from ikelos.serving import stock


def make_version(folder):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    return folder


class FakeModel:
    """Model with two signatures, of which `generate` repeats its prompt."""

    signatures = {
        "generate": {
            "inputs": {"prompt": ("string", (None,)), "length": ("int32", (None,))},
            "outputs": {"text": ("string", (None,))},
        },
        "serving_default": {
            "inputs": {"text": ("string", (None,))},
            "outputs": {
                "log_probabilities": ("float32", (None, 3)),
                "likelihood": ("float32", (None,)),
                "tokens": ("string", (None, 2)),
                "sound_bytes": ("string", (None,)),
            },
        },
    }

    def __init__(self, path, library=None):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, signature, inputs):
        if signature == "generate":
            pairs = zip(inputs["prompt"], inputs["length"], strict=True)
            return {"text": np.array([prompt * length for prompt, length in pairs], dtype=object)}
        rows = len(inputs["text"])
        return {
            "log_probabilities": np.full((rows, 3), -1 / 3, np.float32),
            "likelihood": np.full(rows, -141.79412, np.float32),
            "tokens": np.array([[b"a", "é".encode()]] * rows, dtype=object),
            "sound_bytes": np.array([b"\xff\x00"] * rows, dtype=object),
        }


PNG = b"\x89PNG\r\n\x1a\n and so on"


class Copier(FakeModel):
    """Model that returns its input image, and bytes of an unknown format."""

    signatures = {
        "serving_default": {
            "inputs": {"image_bytes": ("string", (None,))},
            "outputs": {"copy_bytes": ("string", (None,)), "sound_bytes": ("string", (None,))},
        }
    }

    def run(self, signature, inputs):
        sounds = np.array([b"\xff\x00"] * len(inputs["image_bytes"]), dtype=object)
        return {"copy_bytes": inputs["image_bytes"], "sound_bytes": sounds}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Returns the folder of a run with an export, which is loaded as `FakeModel`."""
    monkeypatch.setattr(stock, "StockModel", FakeModel)
    version = make_version(tmp_path / "run" / "export" / "3")
    (version / "assets.extra").mkdir()
    examples = {"generate": {"doc": "Repeats [a] prompt.", "inputs": {"prompt": ["To ", "be"], "length": [2, 1]}}}
    (version / "assets.extra" / "ikelos_examples.json").write_text(json.dumps(examples))
    return tmp_path / "run"


def test_text_comes_out_as_text(ikelos_command, model):
    result = ikelos_command("predict", model, "--signature", "generate", "--input", "prompt=No [b]! é ")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"generate  Repeats [a] prompt.  {model}/export/3",
        "Inputs taken from the model's example",
        "  length  2",
        "Outputs",
        "  text  No [b]! é No [b]! é ",
    ]


def test_a_long_text_is_printed_as_it_is(ikelos_command, model):
    line = "word [a] " * 20 + " "
    given = ("--input", f"prompt={line}\n", "--input", "length=2")
    result = ikelos_command("predict", model, "--signature", "generate", *given)
    assert result.out.splitlines()[1:] == ["  text", line, line, ""]


def test_inputs_not_given_are_those_of_the_example(ikelos_command, model):
    result = ikelos_command("predict", model, "--signature", "generate")
    assert [line.rstrip() for line in result.out.splitlines()[1:]] == [
        "Inputs taken from the model's example",
        "  prompt  To",
        "  length  2",
        "Outputs",
        "  text  To To",
    ]
    machine = ikelos_command("predict", model, "--signature", "generate", "--output", "json")
    assert json.loads(machine.out) == {"text": ["To To "]}
    assert machine.err == "Inputs taken from the model's example: prompt, length\n"


def test_a_batch_is_shown_row_by_row(ikelos_command, model):
    inputs = ("--input", "prompt=a", "--input", "prompt=b", "--input", "length=2")
    result = ikelos_command("predict", model, "--signature", "generate", *inputs)
    assert [line.strip() for line in result.out.splitlines()[1:]] == ["", "row 1", "text  aa", "", "row 2", "text  bb"]


def test_the_default_signature_and_numbers(ikelos_command, model):
    result = ikelos_command("predict", model, "--input", "text=a")
    assert result.status == 0
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines()[1:])
    assert lines["log_probabilities"].strip() == "[-0.3333 -0.3333 -0.3333]"
    assert lines["likelihood"].strip() == "-141.794"
    assert lines["tokens"].strip() == '["a", "é"]'


def test_json_is_for_machines(ikelos_command, model):
    result = ikelos_command("predict", model, "--input", "text=a", "--output", "json")
    assert json.loads(result.out) == {
        "log_probabilities": [[float(np.float32(-1 / 3))] * 3],
        "likelihood": [float(np.float32(-141.79412))],
        "tokens": [["a", "é"]],
        "sound_bytes": [{"b64": "/wA="}],
    }


def test_a_file_of_inputs(ikelos_command, model, tmp_path):
    (tmp_path / "inputs.json").write_text('{"prompt": ["x", "y"], "length": [3, 1]}')
    arguments = ("--signature", "generate", "--json", tmp_path / "inputs.json", "--output", "json")
    result = ikelos_command("predict", model, *arguments)
    assert json.loads(result.out) == {"text": ["xxx", "y"]}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--signature", "generat"], "--signature must be one of generate, serving_default. Received: generat"),
        (["--input", "txt=a"], "--input txt=a: an input must be one of text (string). Received: txt"),
        ([], "text must be given, as --input text=VALUE (string, shape (any,)). Received: no value"),
        (
            ["--signature", "generate", "--input", "length=long"],
            "--input length=long: must be int32. Received: 'long'",
        ),
        (["--json", "no.json"], "--json no.json: cannot read it: no such file or folder"),
    ],
)
def test_bad_input_is_one_line(ikelos_command, model, arguments, line):
    result = ikelos_command("predict", model, *arguments)
    assert (result.status, result.out, result.err) == (2, "", f"Error: {line}\n")


def test_an_unknown_format_is_one_line(ikelos_command, model):
    result = ikelos_command("predict", model, "--output", "xml")
    assert result.status == 2
    assert result.err.startswith("Error: ")
    assert "'xml'" in result.err
    assert result.err.count("\n") == 1


def test_the_newest_version_is_taken(tmp_path):
    for name in ("2", "10", "9", "temporary"):
        make_version(tmp_path / "run" / "export" / name)
    newest = tmp_path / "run" / "export" / "10"
    assert find_version(tmp_path / "run") == newest
    assert find_version(tmp_path / "run" / "export") == newest
    assert find_version(tmp_path / "run" / "export" / "2") == tmp_path / "run" / "export" / "2"


def test_a_newest_version_without_a_model_is_not_passed_over(tmp_path):
    # A server would also try to load version 10, and fail.
    make_version(tmp_path / "export" / "9")
    (tmp_path / "export" / "10").mkdir()
    for path in (tmp_path, tmp_path / "export"):
        with pytest.raises(UserError, match=r"export/10 must be the folder of a SavedModel"):
            find_version(path)
    assert find_version(tmp_path / "export" / "9") == tmp_path / "export" / "9"


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "export" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=r"PATH must hold saved_model.pb, VERSION/saved_model.pb or "):
        find_version(tmp_path)
    with pytest.raises(UserError, match=r"PATH must be .*/missing, which is not a folder"):
        find_version(tmp_path / "missing")


def test_a_real_model_runs_without_the_python_of_tensorflow(ikelos_process, tmp_path):
    import tensorflow as tf

    class Doubler(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def double(self, x):
            return {"doubled": 2 * x, "shout": tf.strings.join([tf.strings.as_string(x, precision=1), "!"])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def few(self, n):
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(n <= 3), ["n must be in [0, 3]", n])]):
                return {"n": tf.reshape(n, [1])}

    module = Doubler()
    signatures = {"serving_default": module.double, "few": module.few}
    tf.saved_model.save(module, str(tmp_path / "export" / "7"), signatures=signatures)
    result = ikelos_process(
        "predict", tmp_path, "--input", "x=1.5", "--input", "x=-2", after="print('tensorflow' in sys.modules)"
    )
    assert (result.status, result.err) == (0, "")
    assert "doubled  3 " in result.out
    assert "shout    -2.0!" in result.out
    assert result.out.endswith("False\n")
    for values, line in [
        (["n=9"], "signature few: n must be in [0, 3] 9"),
        (["n=1", "n=2"], "signature few: Input to reshape is a tensor with 2 values, but the requested shape has 1"),
    ]:
        inputs = [argument for value in values for argument in ("--input", value)]
        result = ikelos_process("predict", tmp_path, "--signature", "few", *inputs)
        assert (result.status, result.out, result.err) == (2, "", f"Error: {line}\n")


def test_pictures_come_from_files_and_go_to_files(ikelos_command, model, tmp_path, monkeypatch):
    monkeypatch.setattr(stock, "StockModel", Copier)
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(PNG + b"!")
    inputs = ("--input", f"image_bytes={tmp_path}/a.png", "--input", f"image_bytes={tmp_path}/b.png")
    result = ikelos_command("predict", model, *inputs)
    assert "18 bytes (--save FOLDER writes them)" in result.out.replace("\n", " ")
    result = ikelos_command("predict", model, *inputs, "--save", tmp_path / "new" / "out")
    assert (result.status, result.err) == (0, "")
    assert (tmp_path / "new" / "out" / "copy-1.png").read_bytes() == PNG
    assert (tmp_path / "new" / "out" / "copy-2.png").read_bytes() == PNG + b"!"
    assert (tmp_path / "new" / "out" / "sound-2.bin").read_bytes() == b"\xff\x00"
    assert str(tmp_path / "new" / "out" / "copy-2.png") in result.out.replace("\n", "").replace(" ", "")


def test_bytes_in_a_file_of_inputs_are_base64(ikelos_command, model, tmp_path, monkeypatch):
    monkeypatch.setattr(stock, "StockModel", Copier)
    (tmp_path / "inputs.json").write_text('{"image_bytes": [{"b64": "/wA="}]}')
    result = ikelos_command("predict", model, "--json", tmp_path / "inputs.json", "--output", "json")
    assert json.loads(result.out)["copy_bytes"] == [{"b64": "/wA="}]
    for wrong in ('{"b64": "?"}', '{"base64": "/wA="}'):
        (tmp_path / "inputs.json").write_text(f'{{"image_bytes": [{wrong}]}}')
        result = ikelos_command("predict", model, "--json", tmp_path / "inputs.json")
        assert result.err == (
            f'Error: {tmp_path}/inputs.json: an object must be {{"b64": "..."}} in base64. '
            f"Received: {json.loads(wrong)}\n"
        )


def test_files_that_can_not_be_read_or_written(ikelos_command, model, tmp_path, monkeypatch):
    monkeypatch.setattr(stock, "StockModel", Copier)
    result = ikelos_command("predict", model, "--input", "image_bytes=no.png")
    assert result.err == "Error: --input image_bytes=no.png: cannot read no.png: no such file or folder\n"
    (tmp_path / "a.png").write_bytes(PNG)
    result = ikelos_command("predict", model, "--input", f"image_bytes={tmp_path}/a.png", "--save", tmp_path / "a.png")
    assert result.status == 2
    assert result.err == f"Error: --save {tmp_path}/a.png: cannot write {tmp_path}/a.png: it exists already\n"


def test_save_needs_an_output_of_bytes(ikelos_command, model, tmp_path):
    result = ikelos_command("predict", model, "--signature", "generate", "--save", tmp_path / "out")
    assert result.status == 2
    assert result.err == (
        "Error: --save must come with a signature that has an output of bytes, NAME_bytes. "
        "Received: --signature generate, whose outputs are text\n"
    )
    assert not (tmp_path / "out").exists()


def test_numbers_that_nobody_reads_are_told_by_shape_and_range():
    from ikelos.pipelines.cli.predict import _readable

    assert _readable("image", np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28, 1), None) == (
        "float32 [28, 28, 1], 0 to 1"
    )
    assert _readable("small", np.eye(2, dtype=np.int32), None) == "[[1 0]\n [0 1]]"
