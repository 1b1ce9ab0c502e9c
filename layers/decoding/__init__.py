"""Decoding in the graph, in plain TensorFlow: greedy decoding, sampling, beam search and logits processors.

`generate` calls a function `choose(logits, step, written)` for each token: `greedy`, the result of `sampling`, or a
`chain` that ends with one of the two. The earlier functions of a chain process the logits: the results of
`repetition_penalty` and `allow`, or any function `(logits, step, written) -> logits`, where

- `logits` is float32 `[B,V]`;
- `step` is an int32 scalar, the number of tokens that each row has written so far;
- `written` is int32 `[B,L]`, the written tokens without the prompt; columns from `step` on hold padding.

`beam_search` takes functions that process logits too. `ctc_greedy` and `ctc_beam_search` decode the logits of an
acoustic model, which has one vector of them for each frame. The result of a row never depends on the other rows of its
batch.

>>> import tensorflow as tf
>>> from ikelos.layers import LSTMLanguageModel
>>> model = LSTMLanguageModel(50, context=16, num_layers=1, size=8)
>>> prompts, prompt_lengths = tf.constant([[1, 7, 9], [1, 0, 0]]), tf.constant([3, 1])
>>> lengths = tf.constant([5, 4])
>>> generate(model, prompts, prompt_lengths, lengths, greedy, end_id=2).shape
TensorShape([2, 5])
>>> choose = chain(
...     repetition_penalty(1.2, prompts, prompt_lengths),
...     sampling(row_uniforms(tf.constant([0, 1], tf.int64), 5), temperature=0.8, top_p=0.95),
... )
>>> generate(model, prompts, prompt_lengths, lengths, choose, end_id=2).shape
TensorShape([2, 5])
>>> tokens, scores = beam_search(model, prompts, prompt_lengths, lengths, num_beams=4, end_id=2, num_results=3)
>>> tokens.shape, scores.shape
(TensorShape([2, 3, 5]), TensorShape([2, 3]))
"""

from ikelos.layers.decoding.beam_search import beam_search
from ikelos.layers.decoding.ctc import ctc_beam_search, ctc_greedy
from ikelos.layers.decoding.generate import generate
from ikelos.layers.decoding.processors import allow, chain, repetition_penalty
from ikelos.layers.decoding.sampling import greedy, row_uniforms, sample, sampling

__all__ = [
    "allow",
    "beam_search",
    "chain",
    "ctc_beam_search",
    "ctc_greedy",
    "generate",
    "greedy",
    "repetition_penalty",
    "row_uniforms",
    "sample",
    "sampling",
]
