import json
import os

import numpy as np
import pytest

from ikelos.pipelines.cli.inputs import gather
from ikelos.pipelines.errors import UserError

SPECS = {
    "prompt": ("string", (None,)),
    "length": ("int32", (None,)),
    "temperature": ("float32", (None,)),
    "greedy": ("bool", (None,)),
    "mask": ("float32", (None, 2)),
}
EXAMPLES = {
    "prompt": ["To be", "or not"],
    "length": [3, 4],
    "temperature": [0.5, 1.0],
    "greedy": [False, False],
    "mask": [[0.0, 1.0], [1.0, 1.0]],
}


def test_what_is_not_given_is_the_first_row_of_the_example():
    arrays, taken = gather(SPECS, ["length=5"], None, EXAMPLES)
    assert taken == ["prompt", "temperature", "greedy", "mask"]
    assert arrays["prompt"].tolist() == [b"To be"]
    assert arrays["length"].tolist() == [5]
    assert arrays["length"].dtype == np.int32
    assert arrays["mask"].tolist() == [[0.0, 1.0]]


def test_values_are_read_by_their_dtype():
    given = ["prompt=1: a=b", "length=0x10", "temperature=1e-1", "greedy=true", "mask=[1, .5]"]
    arrays, _ = gather(SPECS, given, None, {})
    assert arrays["prompt"].tolist() == [b"1: a=b"]
    assert arrays["length"].tolist() == [16]
    assert arrays["temperature"].tolist() == [np.float32(0.1)]
    assert arrays["greedy"].tolist() == [True]
    assert arrays["mask"].tolist() == [[1.0, 0.5]]


def test_text_that_is_not_utf8_is_handed_on_as_it_was():
    assert gather(SPECS, [os.fsdecode(b"prompt=a\xff")], None, EXAMPLES)[0]["prompt"].tolist() == [b"a\xff"]


def test_several_values_make_a_batch_and_single_ones_are_repeated():
    arrays, _ = gather(SPECS, ["prompt=a", "prompt=é", "length=2"], None, EXAMPLES)
    assert arrays["prompt"].tolist() == [b"a", "é".encode()]
    assert arrays["length"].tolist() == [2, 2]
    assert arrays["mask"].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_a_file_gives_whole_columns(tmp_path):
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps({"prompt": ["a", "b"], "mask": [[1, 2], [3, 4]]}))
    arrays, _ = gather(SPECS, ["length=9"], file, EXAMPLES)
    assert arrays["prompt"].tolist() == [b"a", b"b"]
    assert arrays["mask"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert arrays["length"].tolist() == [9, 9]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["length"], "--input must be NAME=VALUE. Received: 'length'"),
        (
            ["lenght=3"],
            "--input lenght=3: an input must be one of prompt (string), length (int32), "
            "temperature (float32), greedy (bool), mask (float32). Received: lenght",
        ),
        (["length=3.5"], "--input length=3.5: must be int32. Received: '3.5'"),
        (["length=3000000000"], "--input length=3000000000: must be int32. Received: '3000000000'"),
        (["temperature=hot"], "--input temperature=hot: must be float32. Received: 'hot'"),
        (["temperature="], "--input temperature=: must be float32. Received: ''"),
        (["greedy=1"], "--input greedy=1: must be bool. Received: '1'"),
        (["mask=[1"], "--input mask=[1: must be float32 of shape (2,). Received: '[1'"),
        (["mask=[1, 2, 3]"], "--input mask=[1, 2, 3]: must be float32 of shape (2,). Received: '[1, 2, 3]'"),
        (
            ["prompt=a", "prompt=b", "length=1", "length=2", "length=3"],
            "input prompt must have 1 value, or 3 like other inputs. Received: 2",
        ),
    ],
)
def test_a_bad_value_is_one_line(given, message):
    with pytest.raises(UserError) as caught:
        gather(SPECS, given, None, EXAMPLES)
    assert str(caught.value) == message


def test_an_input_that_nobody_gives_is_named():
    with pytest.raises(UserError) as caught:
        gather({"mask": ("float32", (None, 2))}, [], None, {})
    assert (
        str(caught.value) == "mask must be given, as --input mask=VALUE (float32, shape (any, 2)). Received: no value"
    )


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (None, [], "--json FILE: cannot read it: no such file or folder"),
        (
            "{",
            [],
            "FILE must be JSON. Received: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("[" * 100_000, [], "FILE must be JSON. Received: lists that are nested too deeply"),
        ("[1]", [], 'FILE must be {"name": [value, ...], ...}. Received: [1]'),
        ('{"prompt": "a"}', [], 'FILE must be {"name": [value, ...], ...}. Received: {"prompt": "a"}'),
        ('{"prompts": ["a"]}', [], "FILE: an input must be one of prompt (string). Received: prompts"),
        ('{"prompt": [1]}', [], "FILE: input prompt must hold str or bytes. Received: 1 (int)"),
        (
            '{"prompt": ["a"]}',
            ["prompt=b"],
            "prompt must be given once. Received: --input prompt=b, and a value in FILE",
        ),
        ('{"prompt": []}', [], "FILE: input prompt must have at least one value. Received: []"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, given, message):
    file = tmp_path / "inputs.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as caught:
        gather({"prompt": ("string", (None,))}, given, file, {})
    assert str(caught.value) == message.replace("FILE", str(file))
