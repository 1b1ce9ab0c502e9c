import asyncio

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.decoding.sampling import sample
from ikelos.serving.server.streaming import Options, can_stream, choose, stream


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (0, 0.5), (5, 0.7), (1000, 1e-6)])
def test_tokens_are_chosen_as_in_the_graph(temperature, top_k, top_p):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 20)).astype(np.float32) * 3
    logits[:, 4] = np.finfo(np.float32).min
    uniforms = rng.random(50).astype(np.float32)
    options = Options(temperature=temperature, top_k=top_k, top_p=top_p)
    expected = sample(tf.constant(logits), tf.constant(uniforms), temperature, top_k, top_p).numpy()
    assert [choose(row, options, uniform) for row, uniform in zip(logits, uniforms, strict=True)] == expected.tolist()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prompt", 3, "`prompt` must be a text. Received: prompt=3"),
        ("length", 0, "`length` must be an integer from 1 to 4096. Received: length=0"),
        ("length", 4097, "`length` must be an integer from 1 to 4096"),
        ("length", True, "`length` must be an integer"),
        ("temperature", -0.1, "`temperature` must be a number of at least 0"),
        ("temperature", float("nan"), "`temperature` must be a number of at least 0"),
        ("top_k", -1, "`top_k` must be an integer of at least 0"),
        ("top_p", 0, "`top_p` must be a number above 0 and at most 1"),
        ("seed", -1, "`seed` must be an integer of at least 0"),
    ],
)
def test_options_are_checked(name, value, message):
    with pytest.raises(ValueError, match=message):
        Options(**{name: value})


class Counter:
    """Engine of a model that counts up from the length of the prompt, and ends the text at 9 by token 2."""

    async def predict(self, call, version, signature, inputs):
        if signature == "detokenize":
            return {"text": [" ".join(map(str, inputs["tokens"][0])).encode()]}
        number = len(inputs["prompt"][0]) if signature == "prefill" else inputs["token"][0] + inputs["step"]
        assert signature != "decode_step" or inputs["step"] == 1
        return {"logits": np.eye(20, dtype=np.float32)[[2 if number == 9 else number]], "step": 1}


def written(**options):
    async def run():
        return [item async for item in stream(Counter(), None, None, Options(temperature=0, **options))]

    return asyncio.run(run())


def test_a_text_ends_at_its_length_or_its_last_token():
    assert written(prompt="abcde", length=2) == [("5", 1), ("5 6", 2)]
    assert written(prompt="abcde", length=100)[-1] == ("5 6 7 8", 4)
    assert written(prompt="abcdefghi") == []


def test_only_models_with_a_state_that_goes_round_can_write_by_tokens():
    def signatures(state):
        side = dict.fromkeys
        return {
            "prefill": {"inputs": side(["prompt"]), "outputs": side(["logits", "keys"])},
            "decode_step": {"inputs": side(["token", *state]), "outputs": side(["logits", "keys"])},
            "detokenize": {"inputs": side(["tokens"]), "outputs": side(["text"])},
        }

    assert can_stream(signatures(["keys"]))
    assert not can_stream(signatures(["keys", "values"]))
    assert not can_stream({"prefill": signatures([])["prefill"]})
