import asyncio
import types

import numpy as np
import pytest

from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.streaming import can_stream, stream


def signatures(state=("step",)):
    text = ("string", (None,))
    tokens = {"token": ("int32", (None,)), **dict.fromkeys(state, ("int32", (None,)))}
    outputs = {"logits": ("float32", (None, 20)), "step": ("int32", (None,))}
    return {
        "prefill": {"inputs": {"prompt": text}, "outputs": outputs},
        "decode_step": {"inputs": tokens, "outputs": outputs},
        "detokenize": {"inputs": {"tokens": ("int32", (None, None))}, "outputs": {"text": text}},
    }


class Counter:
    """Engine of a model that counts up from the length of the prompt, and ends the text before 9 by token 2."""

    settings = types.SimpleNamespace(timeout=60.0)

    async def predict(self, call, version, signature, inputs):
        if signature == "detokenize":
            return {"text": np.array([" ".join(map(str, inputs["tokens"][0])).encode()], object)}
        number = len(inputs["prompt"][0]) if signature == "prefill" else int(inputs["token"][0] + inputs["step"][0])
        return {"logits": np.eye(20, dtype=np.float32)[[2 if number == 9 else number]], "step": np.ones(1, np.int32)}


def written(known=None, **options):
    async def run():
        version = types.SimpleNamespace(signatures=known or signatures())
        return [piece async for piece in stream(Counter(), None, version, options)]

    return asyncio.run(run())


def test_a_text_ends_at_its_length_or_its_last_token():
    assert written(prompt="abcde", length=2) == ["5", " 6"]
    assert written(prompt="abcde", length=100) == ["5", " 6", " 7", " 8"]
    assert written(prompt="abcdefghi") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a", "temperature": -1}, "`temperature` must be at least 0"),
        ({"prompt": "a", "length": "5"}, "The options of the text are wrong"),
        ({"prompt": "a", "colour": 1}, "The options of the text are wrong .*colour"),
        ({}, "The options of the text are wrong .*prompt"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(RequestError, match=message) as raised:
        written(**options)
    assert raised.value.code.name == "INVALID_ARGUMENT"


def test_a_model_that_cannot():
    with pytest.raises(RequestError, match="It lacks: detokenize"):
        written({name: sides for name, sides in signatures().items() if name != "detokenize"}, prompt="a")


def test_only_models_with_a_state_that_goes_round_can_write_by_tokens():
    assert can_stream(signatures())
    assert not can_stream(signatures(["step", "keys"]))
    assert not can_stream({"prefill": signatures()["prefill"]})
