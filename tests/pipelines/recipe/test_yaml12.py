import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ikelos.pipelines.recipe import yaml12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("+3", 3),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("'3e-4'", "3e-4"),
        ("!!str 3", "3"),
        ("[1, 2.0, x]", [1, 2.0, "x"]),
    ],
)
def test_scalars_are_read_as_the_core_schema_of_yaml_1_2_says(text, value):
    read, _ = yaml12.loads(text)
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text_and_their_lines_are_known():
    value, lines = yaml12.loads("a:\n  b: 1\n  3:\n  - x\n  - {c: 2}\n")
    assert value == {"a": {"b": 1, "3": ["x", {"c": 2}]}}
    assert lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "3"): 3,
        ("a", "3", 0): 4,
        ("a", "3", 1): 5,
        ("a", "3", 1, "c"): 5,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "duplicate key 'a'"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: !!python/object/apply:os.getcwd []", "explicit tags are not allowed"),
        ("a: !!int x", "explicit tags are not allowed"),
        ("a: !!set {x}", "explicit tags are not allowed"),
        ("? [1, 2]\n: 3", "a key must be plain text"),
        ("a: [1", "expected ',' or ']'"),
        ("a: " + 5000 * "[", "values must be nested at most 50 deep"),
        ("".join(n * " " + "a:\n" for n in range(60)), "values must be nested at most 50 deep"),
        ("a: " + 5000 * "9", "an integer of 5,000 digits is too long"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
    ],
)
def test_what_has_no_one_meaning_is_refused(text, problem):
    with pytest.raises(yaml.YAMLError, match=r"(?s)" + problem.replace("[", r"\[").replace("]", r"\]")):
        yaml12.loads(text)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abe013._-~ ", max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_values_may_be_nested():
    value, _ = yaml12.loads(48 * "[" + "{a: 1}" + 48 * "]")
    assert value[0][0][0]


@given(plain)
def test_inline_is_one_line_that_is_read_back(value):
    text = yaml12.inline(value)
    assert "\n" not in text
    read, _ = yaml12.loads(text)
    assert read == value


@given(plain)
def test_dumps_is_read_back(value):
    read, _ = yaml12.loads(yaml12.dumps(value))
    assert read == value
