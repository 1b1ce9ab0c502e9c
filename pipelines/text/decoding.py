"""Text generation in one graph: encoding the prompt, the language model's decoding loop, and decoding its tokens."""

import keras
import tensorflow as tf

from ikelos.layers.decoding import allow, chain, generate, row_uniforms, sampling
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, UNKNOWN


def prompt_tokens(vocabulary, text: tf.Tensor, context: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the tokens at the end of each text, as many as fit the context, after the begin-of-text token.

    Args:
        vocabulary: Vocabulary with `encode`.
        text: string `[B]`.
        context: Most tokens to keep, the begin-of-text token included.

    Returns:
        The tokens, int32 `[B,T]`, padded at the end, and their lengths, int32 `[B]`, each at least 1.
    """
    tokens = vocabulary.encode(text)[:, 1 - context :] if context > 1 else vocabulary.encode(text)[:, :0]
    tokens = tf.concat([tf.fill([tf.shape(text)[0], 1], BEGIN), tokens], axis=1)
    return tokens.to_tensor(PAD), tf.cast(tokens.row_lengths(), tf.int32)


def continue_text(
    model: keras.Model,
    vocabulary,
    max_length: int,
    prompt: tf.Tensor,
    length: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Continues prompts; each row of the result depends only on its own inputs.

    Args:
        model: Model with `start`, `advance` and `context`, such as `ikelos.layers.TransformerLanguageModel`.
        vocabulary: Vocabulary with `size`, `encode` and `decode`.
        max_length: Upper limit of `length`.
        prompt: string `[B]`.
        length: int32 `[B]`, number of tokens to generate, at most `max_length`; the model may end a text earlier.
        temperature: float32 `[B]`, at least 0 and finite; 0 takes the most likely token.
        top_k: int32 `[B]`, at least 0; 0 for all tokens.
        top_p: float32 `[B]` in (0, 1].
        seed: int64 `[B]`.

    Returns:
        string `[B]`, the new text without the prompt.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a number is out of range; the message names the input.
    """
    checks = [
        check_within("length", length, 0, max_length),
        check_within("temperature", temperature, 0.0, tf.float32.max),
        check_within("top_k", top_k, 0, tf.int32.max),
        check_within("top_p", top_p, 1e-6, 1.0),
    ]
    with tf.control_dependencies(checks):
        tokens, prompt_lengths = prompt_tokens(vocabulary, prompt, model.context)
        # Always `max_length` numbers: a row's random numbers must not depend on the lengths of other rows.
        uniforms = row_uniforms(seed, max_length)
    choose = chain(allow(writable(vocabulary)), sampling(uniforms, temperature, top_k, top_p))
    return vocabulary.decode(generate(model, tokens, prompt_lengths, length, choose, END, PAD))


def writable(vocabulary) -> tf.Tensor:
    """Returns which tokens may be generated, bool `[V]`: those that stand for text, and the end-of-text token."""
    return tf.reduce_all(tf.range(vocabulary.size)[:, None] != [PAD, BEGIN, UNKNOWN], axis=-1)


def check_within(name: str, values: tf.Tensor, low, high) -> tf.Operation:
    """Returns an assertion that all values of an input are from `low` to `high`; its message names the input."""
    inside = (values >= low) & (values <= high)
    message = f"`{name}` must be between {low:g} and {high:g}. Received:"
    return tf.debugging.Assert(tf.reduce_all(inside), [message, tf.boolean_mask(values, ~inside)])
