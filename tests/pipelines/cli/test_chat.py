import io

import numpy as np
import pytest

from ikelos.serving import stock

TEXT = ("string", (None,))


class Talker:
    """Model that replies with what it got, and refuses a temperature below 0."""

    signatures = {
        "rank": {
            "inputs": {"history": TEXT, "replies": ("string", (None, None))},
            "outputs": {"score": ("float32", (None, None))},
        },
        "talk": {
            "inputs": {"history": TEXT, "seed": ("int64", (None,)), "temperature": ("float32", (None,))},
            "outputs": {"reply": TEXT},
        },
    }  # fmt: skip
    sent: list = []

    def __init__(self, path, library=None):
        type(self).sent = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, signature, inputs):
        if inputs["temperature"][0] < 0:
            raise stock.StockError(
                "assertion failed: [`temperature` must be between 0 and 1. Received:] [-1]\n\t [[{{node"
            )
        self.sent.append(inputs)
        turns = inputs["history"][0].count(b"\n") + 1
        return {"reply": np.array([f"{turns} turns,\nseed {inputs['seed'][0]}".encode()], object)}


@pytest.fixture
def talk(ikelos_command, monkeypatch, tmp_path):
    """Runs `ikelos chat` with lines of standard input on a model without a file of examples."""
    (tmp_path / "here" / "model").mkdir()
    (tmp_path / "here" / "model" / "saved_model.pb").write_bytes(b"")
    monkeypatch.setattr(stock, "StockModel", Talker)

    def call(text, *arguments, temperature="0.5"):
        stdin = io.TextIOWrapper(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "utf-8")
        monkeypatch.setattr("sys.stdin", stdin)
        return ikelos_command("chat", "model", "--input", f"temperature={temperature}", *arguments)

    return call


def test_each_line_gets_a_reply_to_the_whole_history(talk):
    found = talk("hello\n\n  how   are you? \n", "--seed", 7)
    assert (found.status, found.err) == (0, "")
    assert found.out == "1 turns, seed 7\n3 turns, seed 8\n"
    assert Talker.sent[1]["history"] == [b"hello\n1 turns, seed 7\nhow are you?"]
    assert Talker.sent[0]["temperature"] == [0.5]


def test_an_empty_reply_leaves_no_turn(talk, monkeypatch):
    answer = Talker.run

    def run(self, signature, inputs):
        found = answer(self, signature, inputs)
        return {"reply": np.array([b" \n"], object)} if inputs["history"][0].endswith(b"what?") else found

    monkeypatch.setattr(Talker, "run", run)
    found = talk("hello\nwhat?\nyes\n")
    assert found.out == "1 turns, seed 0\n\n3 turns, seed 2\n"
    assert found.err == "The reply is empty: your turn was left out of the conversation.\n"
    assert Talker.sent[2]["history"] == [b"hello\n1 turns, seed 0\nyes"]


def test_long_conversations_lose_their_oldest_turns_and_keep_the_roles(talk):
    talk("".join(f"line {number}\n" for number in range(40)))
    last = Talker.sent[-1]["history"][0].split(b"\n")
    assert len(last) == 63
    assert (last[0], last[-1]) == (b"line 8", b"line 39")


def test_bytes_that_are_not_utf8_are_sent_as_they_are(talk):
    talk(b"caf\xe9\n")
    assert Talker.sent[0]["history"] == [b"caf\xe9"]


def test_no_lines_are_no_conversation(talk):
    found = talk("")
    assert (found.status, found.out, found.err) == (0, "", "")


def test_an_interruption_ends_the_conversation(talk, monkeypatch):
    def interrupted(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    found = talk("hello\n")
    assert (found.status, found.out, found.err) == (0, "\n", "")


def test_what_the_model_refuses_is_one_line(talk):
    found = talk("hello\n", temperature="-1")
    assert found.status == 2
    assert found.err == "Error: signature talk: `temperature` must be between 0 and 1. Received: -1\n"
    found = talk("hello\n", "--input", "temperature=1")
    assert found.err == "Error: --input temperature must be given once. Received: 2 values\n"


def test_a_model_that_is_no_dialogue_is_refused_by_its_signatures(talk, monkeypatch):
    monkeypatch.setattr(Talker, "signatures", {"rank": Talker.signatures["rank"]})
    found = talk("hello\n")
    assert found.status == 2
    assert found.err.startswith("Error: model must be a dialogue model, with a signature from the text `history`")
    assert found.err.endswith("Received: rank from history, replies to score\n")


def test_inputs_are_taken_from_the_example_or_must_be_given(ikelos_command, talk, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n"))
    found = ikelos_command("chat", "model")
    assert (found.status, found.err.split(",")[0]) == (2, "Error: temperature must be given")
