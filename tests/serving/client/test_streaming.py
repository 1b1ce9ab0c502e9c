import pytest
from hypothesis import example, given, strategies

from ikelos.serving.client.streaming import TextStream


def _pieces(data, cuts, stop):
    """Returns the pieces of a text whose tokens end at `cuts`, as a tokenizer of bytes gives it."""
    stream, pieces = TextStream(stop), []
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        pieces.append(stream.push(data[:cut].decode(errors="replace")))
        if stream.stopped:
            return pieces
    return [*pieces, stream.push(data.decode(errors="replace"), ended=True)]


def _cut(text, stop):
    """Returns a text up to the stop string that is complete first."""
    for end in range(len(text) + 1):
        ended = [len(each) for each in stop if text[:end].endswith(each)]
        if ended:
            return text[: end - max(ended)]
    return text


@given(
    strategies.text(alphabet="abé€😀", max_size=30),
    strategies.sets(strategies.integers(0, 90)),
    strategies.lists(strategies.text(alphabet="abé€😀", min_size=1, max_size=4), max_size=3),
)
@example("ab", {1}, ["abc", "b"])
def test_the_text_does_not_depend_on_where_tokens_end(text, cuts, stop):
    pieces = _pieces(text.encode(), cuts, stop)
    assert "".join(pieces) == _cut(text, stop)


@given(strategies.binary(max_size=20), strategies.sets(strategies.integers(0, 20)))
def test_bytes_that_are_not_utf8(data, cuts):
    assert "".join(_pieces(data, cuts, [])) == data.decode(errors="replace")


def test_nothing_is_held_back_without_need():
    stream = TextStream(["stop"])
    assert [stream.push(text) for text in ("a", "a s", "a st", "a sto", "a stow")] == ["a", " ", "", "", "stow"]


@pytest.mark.parametrize("stop", ["abc", [""], [b"a"], ["a", 3]])
def test_refuses_stop_strings(stop):
    with pytest.raises(ValueError, match="`stop` must be a list of strings that are not empty"):
        TextStream(stop)


def test_a_text_that_does_not_continue_is_refused():
    stream = TextStream()
    stream.push("ab")
    with pytest.raises(ValueError, match=r"must begin with the text of fewer. Received: 'ac' after 'ab'"):
        stream.push("ac")
