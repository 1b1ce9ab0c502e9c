"""Text generation in one graph: encoding the prompt, the language model's decoding loop, and decoding its tokens."""

import keras
import tensorflow as tf

from ikelos.layers.decoding import allow, chain, generate, row_uniforms, sampling
from ikelos.pipelines.text import stopping
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
    stop: tf.Tensor | None = None,
) -> tf.Tensor:
    """Continues prompts; each row of the result depends only on its own inputs.

    Args:
        model: Model with `start`, `advance` and `context`, such as `ikelos.layers.TransformerLanguageModel`.
        vocabulary: Vocabulary with `size`, `encode` and `decode`.
        max_length: Upper limit of `length`.
        prompt: string `[B]`.
        length: int32 `[B]`, number of tokens to generate, from 0 to `max_length`; the model may end a text earlier.
        temperature: float32 `[B]`, at least 0 and finite; 0 takes the most likely token.
        top_k: int32 `[B]`, at least 0; 0 for all tokens.
        top_p: float32 `[B]` in (0, 1].
        seed: int64 `[B]`.
        stop: string `[B,N]`: a text ends before the first of these strings that it would hold. An empty string ends
            no text. None for no strings.

    Returns:
        string `[B]`, the new text without the prompt.
    """
    tokens, prompt_lengths = prompt_tokens(vocabulary, prompt, model.context)
    # Always `max_length` numbers: a row's random numbers must not depend on the lengths of other rows.
    uniforms = row_uniforms(seed, max_length)
    choose = chain(allow(writable(vocabulary)), sampling(uniforms, temperature, top_k, top_p))
    until = None if stop is None else stopping.until(vocabulary, stop)
    text = vocabulary.decode(generate(model, tokens, prompt_lengths, length, choose, END, PAD, until))
    return text if stop is None else stopping.cut(text, stop)


def writable(vocabulary) -> tf.Tensor:
    """Returns which tokens may be generated, bool `[V]`: those that stand for text, and the end-of-text token."""
    return tf.reduce_all(tf.range(vocabulary.size)[:, None] != [PAD, BEGIN, UNKNOWN], axis=-1)
