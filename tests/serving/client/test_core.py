"""Streaming, with the four clients."""

import itertools

import numpy as np
import pytest

from ikelos.serving.client import InvalidArgument, ServerError, Unavailable

TEXT = "O Romeo, Romeo — 😀 wherefore\n"


@pytest.fixture
def writer(client, model):
    model.script = TEXT.encode()
    return client


def test_the_pieces_are_the_text_and_end_between_characters(writer):
    pieces = list(writer.stream("JULIET:"))
    assert "".join(pieces) == TEXT
    assert pieces == list(TEXT)  # a token is a byte here


def test_the_prompt_and_the_state_are_sent(writer, model):
    assert "".join(writer.stream("JULIET: é", 3)) == "O R"
    assert model.requests[0]["prompt"].tolist() == ["JULIET: é".encode()]
    decoded = [request for request in model.requests if "token" in request]
    assert [request["position"].tolist() for request in decoded] == [[0], [1]]


def test_text_arrives_as_it_is_made(writer, model):
    first = list(itertools.islice(writer.stream("JULIET:"), 2))
    assert first == ["O", " "]
    assert model.calls.count("Predict") == 4  # prefill, detokenize, decode_step, detokenize


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["Romeo"], "O "),
        ([", R", "\n"], "O Romeo"),
        (["meo,", "o, Romeo", "eo"], "O Rom"),  # the one that is complete first
        (["\U0001f600"], "O Romeo, Romeo — "),
        (["wherefore\n!"], TEXT),
        (["absent"], TEXT),
    ],
)
def test_stop_strings(writer, stop, expected):
    assert "".join(writer.stream("JULIET:", stop=stop)) == expected


def test_a_text_that_is_cut_within_a_character(writer):
    assert "".join(writer.stream("JULIET:", len(b"O Romeo, Romeo ") + 2)) == "O Romeo, Romeo \ufffd"
    assert list(writer.stream("JULIET:", 0)) == []


def test_draws_are_those_of_the_seed(writer, model):
    # The fake accepts no token but the script's, and 1 of 260 draws is another if the temperature is high.
    assert "".join(writer.stream("JULIET:", temperature=2.0, top_k=1, seed=3)) == TEXT
    assert "".join(writer.stream("JULIET:", temperature=2.0, top_p=1e-6, seed=3)) == TEXT
    with pytest.raises(InvalidArgument, match="expected the tokens"):
        list(writer.stream("JULIET:", temperature=100.0, seed=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, "`length` must be at least 0. Received: length=-1"),
        ({"temperature": -1.0}, "`temperature` must be at least 0"),
        ({"temperature": float("nan")}, "`temperature` must be at least 0"),
        ({"top_k": -1}, "`top_k` must be at least 0"),
        ({"top_p": 0.0}, "`top_p` must be above 0"),
        ({"stop": "abc"}, "`stop` must be a list of strings that are not empty. Received: stop='abc'"),
        ({"stop": [""]}, "`stop` must be a list of strings that are not empty"),
    ],
)
def test_refuses_arguments_before_anything_is_sent(writer, model, options, message):
    with pytest.raises(InvalidArgument, match=message):
        list(writer.stream("JULIET:", **options))
    assert model.calls == []


def test_an_error_ends_the_stream_and_the_client_lives_on(writer, model, fault):
    pieces = writer.stream("JULIET:")
    assert next(pieces) == "O"
    model.faults = [fault("UNAVAILABLE", "busy")] * 4
    with pytest.raises(Unavailable, match="busy"):
        next(pieces)
    assert "".join(writer.stream("JULIET:")) == TEXT


def test_a_busy_server_does_not_end_the_stream(writer, model, fault):
    pieces = writer.stream("JULIET:")
    assert next(pieces) == "O"
    model.faults = [fault("UNAVAILABLE", "busy")]
    assert "".join(pieces) == TEXT[1:]


def test_a_tokenizer_that_changes_its_mind_is_an_error(writer, model):
    texts = iter([b"a", b"ab", b"b"])
    model.detokenize = lambda tokens: {"text": np.array([next(texts)], object)}
    with pytest.raises(ServerError, match=r"must begin with the text of fewer. Received: 'b' after 'ab'"):
        list(writer.stream("JULIET:"))


def test_a_model_without_these_signatures_is_refused(writer, signatures_of_fake):
    del signatures_of_fake["decode_step"], signatures_of_fake["detokenize"]
    with pytest.raises(InvalidArgument, match="It lacks: decode_step, detokenize"):
        list(writer.stream("JULIET:"))
