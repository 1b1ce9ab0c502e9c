"""`ReplyRanker`: scores how well a reply fits a conversation."""

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers.options import check_positive
from ikelos.layers.projection import Projection

_MASKED = -1e9
_INITIAL_SCALE, _LARGEST_SCALE = 15.0, 100.0


@keras.saving.register_keras_serializable(package="ikelos")
class ReplyRanker(keras.Model):
    """Dual encoder of conversations and replies (Henderson et al. 2017, "Efficient Natural Language Response Suggestion
    for Smart Reply", section 4), which is trained to tell the reply that was given from all others of the batch.

    A turn is the sum of the embeddings of its tokens, each with a weight that is learned for the token. A history has
    several such sums over its turns: the weight of a turn depends on its distance from the reply, and so on whether it
    has the same speaker, as speakers alternate. The sums are normalised, and mapped to a vector by a linear layer and a
    network of one hidden layer; a reply is mapped likewise. The score is the cosine of both vectors with a learned
    scale.

    A window may have turns of several conversations, each after the token `begin_id`; a history has turns of one
    conversation. Training counts each complete turn as a reply to the turns before it, but the first turn of a window
    and of each conversation. The loss is the mean
    cross-entropy of finding the reply for a history and the history for a reply; replies that are equal to the right
    one are left out.

    Args:
        vocabulary_size: Number of token ids, V; the ids from `first_role` on begin a turn.
        first_role: Smallest id that begins a turn.
        begin_id: Id that begins a conversation; it is one of the special ids.
        end_id: Id that ends a turn.
        special_ids: Number of the lowest ids, which stand for no text; `end_id` is one of them.
        size: Features of a token, and of the vectors that are compared, D.
        hidden_size: Width of the networks' hidden layers.
        num_history_sums: Number of weighted sums of a history, G.
        max_distance: Distance in turns beyond which a turn of a history has no weight.
        dropout: Share of the tokens that are left out in training.

    Call arguments:
        tokens: int `[B,T]`, windows of conversations.

    Output shape: scores `[P,P]` of all pairs of a history (rows) and a reply (columns) in the batch, float32; the
    diagonal has the replies that were given.

    Raises:
        ValueError: If a number is not positive.

    Example:

    >>> ranker = ReplyRanker(12, first_role=10, begin_id=1, end_id=2, special_ids=4, size=8, hidden_size=16)
    >>> windows = tf.constant([[1, 10, 5, 2, 11, 6, 7, 2, 10, 8, 2], [1, 9, 2, 11, 4, 5, 2, 10, 6, 7, 7]])
    >>> ranker(windows).shape
    TensorShape([2, 2])
    >>> history, reply = tf.constant([[1, 10, 5, 2, 11]]), tf.constant([[6, 7, 2]])
    >>> ranker.encode_history(history).shape, ranker.encode_reply(reply).shape
    (TensorShape([1, 8]), TensorShape([1, 8]))
    """

    def __init__(
        self,
        vocabulary_size,
        first_role,
        begin_id,
        end_id,
        special_ids,
        size,
        hidden_size,
        num_history_sums=4,
        max_distance=32,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            vocabulary_size=vocabulary_size,
            size=size,
            hidden_size=hidden_size,
            num_history_sums=num_history_sums,
            max_distance=max_distance,
        )
        self.vocabulary_size = vocabulary_size
        self.first_role = first_role
        self.begin_id = begin_id
        self.end_id = end_id
        self.special_ids = special_ids
        self.size = size
        self.hidden_size = hidden_size
        self.num_history_sums = num_history_sums
        self.max_distance = max_distance
        self.supports_jit = False
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            size,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.history_head = _Head(size, hidden_size, num_history_sums, name="history_head", dtype=self.dtype_policy)
        self.reply_head = _Head(size, hidden_size, 1, name="reply_head", dtype=self.dtype_policy)
        self.accuracy = keras.metrics.Mean(name="reply_accuracy")

    def build(self, input_shape=None):
        """Creates the weights."""
        self.embedding.build(input_shape)
        self.history_head.build((None, self.num_history_sums * self.size))
        self.reply_head.build((None, self.size))
        self.token_scale = self.add_weight((self.vocabulary_size,), initializer="zeros", name="token_scale")
        self.distance_scale = self.add_weight(
            (self.num_history_sums, self.max_distance), initializer=_nearer_is_heavier, name="distance_scale"
        )
        self.score_scale = self.add_weight(
            (), initializer=keras.initializers.Constant(np.log(_INITIAL_SCALE)), name="score_scale"
        )

    def adapt(self, counts):
        """Sets the weights of the tokens from their frequencies: `a / (a + p)` with a = 0.001, for probability p (Arora
        et al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings").

        Args:
            counts: `[V]`, how often each token occurs in the training text.
        """
        if not self.built:
            self.build()
        share = np.asarray(counts, np.float64) / np.sum(counts)
        self.token_scale.assign(np.log(1e-3 / (1e-3 + share)))

    def call(self, tokens, training=None):
        """Returns the scores `[P,P]` of all histories and replies in windows `[B,T]`."""
        sums, number, conversation = self._turns(tokens, training)
        # Of the first turn of a window, the beginning or the history may be missing, so it is no reply.
        end = self._sum_by_turn(tf.cast(tokens == self.end_id, tf.float32)[:, :, None], number)[:, :, 0]
        follows = tf.pad(conversation[:, 1:] == conversation[:, :-1], [[0, 0], [1, 0]])
        where = tf.where((end > 0) & follows & (tf.range(tf.shape(end)[1]) > 1))
        histories = self.history_head(tf.gather_nd(self._histories(sums, conversation), where))
        replies = self.reply_head(_normalized(tf.gather_nd(sums, where)))
        # Equal turns have equal sums of these pseudorandom numbers.
        ids = tf.cast(tokens, tf.int64)
        hashed = tf.where(tokens < self.special_ids, tf.zeros_like(ids), (ids * 2654435761) % 1000003)
        hashed = tf.where(tokens >= self.first_role, tf.zeros_like(ids), hashed)
        hashed = tf.gather_nd(self._sum_by_turn(hashed[:, :, None], number)[:, :, 0], where)
        others = ~tf.eye(tf.size(hashed), dtype=tf.bool)
        scores = self.scale * tf.matmul(histories, replies, transpose_b=True)
        return tf.where((hashed[:, None] == hashed) & others, _MASKED, scores)

    def encode_history(self, tokens):
        """Returns vectors of unit length, `[B,D]`, of histories that end with the token that begins the reply.

        Args:
            tokens: int `[B,T]`, padded at the end by an id below `special_ids`.
        """
        sums, number, conversation = self._turns(tokens, training=False)
        histories = tf.gather(self._histories(sums, conversation), tf.reduce_max(number, axis=1), batch_dims=1)
        return self.history_head(histories)

    def encode_reply(self, tokens):
        """Returns vectors of unit length, `[B,D]`, of replies.

        Args:
            tokens: int `[B,T]`, padded at the end by an id below `special_ids`.
        """
        return self.reply_head(_normalized(tf.reduce_sum(self._weighted(tokens), axis=1)))

    @property
    def scale(self):
        """Factor from the cosine of two vectors to their score."""
        return tf.minimum(tf.exp(tf.cast(self.score_scale, tf.float32)), _LARGEST_SCALE)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the mean cross-entropy of both directions in nats; 0 for a batch without a reply."""
        right = tf.linalg.diag_part(y_pred)
        nats = [tf.reduce_logsumexp(y_pred, axis=axis) - right for axis in (0, 1)]
        self.accuracy.update_state(right >= tf.reduce_max(y_pred, axis=1))
        return tf.math.divide_no_nan(tf.reduce_sum(nats), 2.0 * tf.cast(tf.size(right), tf.float32))

    def _weighted(self, tokens, training=None):
        is_text = (tokens >= self.special_ids) & (tokens < self.first_role)
        weights = tf.where(is_text, tf.exp(tf.gather(tf.convert_to_tensor(self.token_scale), tokens)), 0.0)
        return self.embedding(tokens) * tf.cast(self.dropout(weights, training=training), self.compute_dtype)[..., None]

    def _turns(self, tokens, training):
        """Returns the sums of turns, `[B,K,D]`, the number of each token's turn, int32 `[B,T]`, and the number of each
        turn's conversation, int32 `[B,K]`."""
        number = tf.cumsum(tf.cast(tokens >= self.first_role, tf.int32), axis=1)
        conversation = tf.cumsum(tf.cast(tokens == self.begin_id, tf.int32), axis=1)
        # The smallest number is that of the turn's first token: the next conversation may begin before the next turn.
        by_turn = self._by_turn(tf.math.unsorted_segment_min, conversation[:, :, None], number)[:, :, 0]
        return self._sum_by_turn(self._weighted(tokens, training), number), number, by_turn

    def _sum_by_turn(self, values, number):
        return self._by_turn(tf.math.unsorted_segment_sum, values, number)

    def _by_turn(self, reduce, values, number):
        rows, turns = tf.shape(number)[0], tf.reduce_max(number) + 1
        segments = tf.range(rows)[:, None] * turns + number
        found = reduce(tf.reshape(values, [-1, values.shape[-1]]), tf.reshape(segments, [-1]), rows * turns)
        return tf.reshape(found, [rows, turns, values.shape[-1]])

    def _histories(self, sums, conversation):
        """Returns the normalised sums before each turn in its conversation, `[B,K,G*D]`."""
        turns = tf.range(tf.shape(sums)[1])
        distance = turns[:, None] - turns
        near = (distance > 0) & (distance <= self.max_distance)
        weights = tf.gather(tf.convert_to_tensor(self.distance_scale), tf.where(near, distance - 1, 0), axis=1)
        weights = tf.where(near, weights, 0.0)
        together = (conversation[:, :, None] == conversation[:, None])[:, None]
        weights = tf.where(together, tf.cast(weights, sums.dtype), tf.zeros([], sums.dtype))
        found = tf.einsum("bgkj,bjd->bkgd", weights, sums)
        return tf.reshape(_normalized(found), [*tf.unstack(tf.shape(sums)[:2]), self.num_history_sums * self.size])

    def compute_output_shape(self, input_shape):
        """Returns `[P,P]`, P unknown."""
        return (None, None)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "first_role": self.first_role,
            "begin_id": self.begin_id,
            "end_id": self.end_id,
            "special_ids": self.special_ids,
            "size": self.size,
            "hidden_size": self.hidden_size,
            "num_history_sums": self.num_history_sums,
            "max_distance": self.max_distance,
            "dropout": self.dropout.rate,
        }


class _Head(keras.layers.Layer):
    """Map from normalised sums, `[...,F]`, to vectors of unit length, `[...,D]`: a linear layer and a network."""

    def __init__(self, size, hidden_size, inputs, **kwargs):
        super().__init__(**kwargs)
        # The linear layer begins as the mean of the sums, so that texts of the same words are alike from the beginning.
        mean = np.tile(np.eye(size), [inputs, 1]) / inputs
        self.linear = Projection(
            size, use_bias=False, kernel_initializer=lambda shape, dtype=None: tf.constant(mean, dtype), name="linear"
        )
        self.hidden = Projection(hidden_size, activation="gelu", name="hidden")
        self.output_layer = Projection(size, kernel_initializer="zeros", name="output")
        self._factor = size**0.5

    def build(self, input_shape):
        self.linear.build(input_shape)
        self.hidden.build(input_shape)
        self.output_layer.build((None, self.hidden.units))

    def call(self, x):
        return _normalized(self.linear(x) + self.output_layer(self.hidden(x * self._factor)))


def _normalized(x):
    return tf.math.l2_normalize(x, axis=-1, epsilon=1e-12)


def _nearer_is_heavier(shape, dtype=None):
    """Returns the initial weights of turns: the last turn, all turns, those of the other and those of the own speaker.

    Turns at an odd distance from the reply have the other speaker. Further rows repeat these four.
    """
    distance = np.arange(1, shape[1] + 1)
    decay, odd = np.exp(-(distance - 1) / 6), distance % 2
    kinds = [np.where(distance == 1, 1.0, 0.0), decay, decay * odd, decay * (1 - odd)]
    return tf.constant(np.stack([kinds[row % len(kinds)] for row in range(shape[0])]), dtype)
