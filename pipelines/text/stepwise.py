"""Serving signatures for clients that decode themselves, token by token, and keep the model's state between two calls.

`prefill` reads prompts and `decode_step` one more token for each row. Both return `logits` and the state; all their
other outputs are inputs of the next `decode_step`. `detokenize` turns the tokens that a client chose into text.
"""

import keras
import tensorflow as tf

from ikelos.pipelines.text.decoding import prompt_tokens, writable
from ikelos.pipelines.text.vocabulary import Vocabulary
from ikelos.pipelines.text.vocabulary.special import BEGIN, END
from ikelos.serving import Bound, Signature

_EXAMPLE = 4
"""Most characters of the example's prompt: the example of `decode_step` holds the state after it."""
_GROWING = ("keys", "values", "tokens", "matches")
"""Parts of the state that have a position for each token."""


def signatures(
    vocabulary: Vocabulary, model: keras.Model, max_length: int, max_bytes: int, example: str
) -> list[Signature]:
    """Returns the signatures `prefill`, `decode_step` and `detokenize`.

    The logits of the tokens that `generate` never writes are the lowest finite number, so the argmax is the token that
    `generate` takes at temperature 0.

    Args:
        vocabulary: Vocabulary of the model.
        model: Model with `start`, `advance`, `state_tensors` and `state_from_tensors`, such as
            `ikelos.layers.TransformerLanguageModel`.
        max_length: Most tokens after a prompt: a state has room for them and the model's context, and as many are
            turned into text at once.
        max_bytes: Most bytes of a prompt.
        example: Example of a prompt.
    """

    def outputs(logits, state):
        return {"logits": tf.where(writable(vocabulary), logits, tf.float32.min), **model.state_tensors(state)}

    def prefill(prompt):
        tokens, lengths = prompt_tokens(vocabulary, prompt, model.context)
        return outputs(*model.start(tokens, lengths, tf.shape(tokens)[1]))

    def decode_step(token, **state):
        with tf.control_dependencies(_checks(state)):
            token = tf.identity(token)
        return outputs(*model.advance(token, model.state_from_tensors(state)))

    prompts = [example[:_EXAMPLE], ""]
    after = {name: value for name, value in prefill(tf.constant(prompts)).items() if name != "logits"}
    positions, token = model.context + max_length, (0, vocabulary.size - 1)
    bounds = {name: Bound(max_size=positions) for name in ("keys", "values")}
    bounds |= {
        "token": Bound(token),
        "length": Bound((1, positions)),
        "tokens": Bound(token, max_size=positions),
    }
    if "contexts" in after:
        bounds["matches"] = Bound((0, model.longest_match), max_size=positions)
        bounds["contexts"] = Bound((0, model.max_ngrams))
    return [
        Signature(
            name="prefill",
            function=prefill,
            inputs={"prompt": tf.TensorSpec([None], tf.string)},
            example={"prompt": prompts},
            doc="Logits of the token after each prompt, and the state for `decode_step`.",
            bounds={"prompt": Bound(max_bytes=max_bytes)},
        ),
        Signature(
            name="decode_step",
            function=decode_step,
            inputs={
                "token": tf.TensorSpec([None], tf.int32),
                **{name: tf.TensorSpec(_shape(name, value), value.dtype) for name, value in after.items()},
            },
            example={"token": [END, BEGIN], **{name: value.numpy().tolist() for name, value in after.items()}},
            doc="Logits of the token after `token`, and the state after it, from the state before it.",
            bounds={name: bound for name, bound in bounds.items() if name in ("token", *after)},
        ),
        Signature(
            name="detokenize",
            function=lambda tokens: {"text": vocabulary.decode(tokens)},
            inputs={"tokens": tf.TensorSpec([None, None], tf.int32)},
            example={"tokens": [vocabulary.tokens(prompts[0]).tolist()[:1] or [END], [END]]},
            doc="Text of each row of tokens; special tokens stand for no text.",
            bounds={"tokens": Bound(token, max_size=max_length)},
        ),
    ]


def _checks(state: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Returns assertions that the parts of a state belong together; the state of an LSTM has no length to check."""
    if "length" not in state:
        return []
    length, positions = state["length"], tf.shape(state["keys"])[1]
    right = tf.reduce_all((length >= 1) & (length <= positions))
    checks = [tf.debugging.Assert(right, ["`length` must be from 1 to the positions of `keys`. Received:", length])]
    for name in _GROWING[1:]:
        if name in state:
            message = f"`{name}` must have as many positions as `keys`. Received:"
            found = tf.shape(state[name])[1]
            checks.append(tf.debugging.Assert(found == positions, [message, found, positions]))
    return checks


def _shape(name: str, value: tf.Tensor) -> list[int | None]:
    """Returns the shape of a part of the state in any batch, after any number of tokens."""
    return [None, *([None] if name in _GROWING else value.shape[1:2]), *value.shape[2:]]
