import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.order import Shard, endless, key, shuffled
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize("size", [1, 2, 5, 59, 1025])
def test_shuffled_is_a_permutation_of_each_key(size):
    index = tf.range(size, dtype=tf.int64)
    permutations = [
        shuffled(index, key(7, tf.fill([size], tf.constant(epoch, tf.int64)), stream=1), size).numpy()
        for epoch in range(3)
    ]
    for permutation in permutations:
        np.testing.assert_array_equal(np.sort(permutation), np.arange(size))
    if size > 5:
        assert (permutations[0] != permutations[1]).any()
        assert (permutations[1] != permutations[2]).any()


def test_keys_of_many_epochs_at_once_are_those_of_each():
    epochs = tf.constant([3, 3, 8, 2**33], tf.int64)
    together = shuffled(tf.constant([0, 1, 2, 3], tf.int64), key(-5, epochs, stream=2), 97).numpy()
    alone = [shuffled(tf.constant(i, tf.int64), key(-5, epoch, stream=2), 97).numpy() for i, epoch in enumerate(epochs)]
    np.testing.assert_array_equal(together, alone)


def test_neighbours_are_scattered():
    # Correlation of n independent pairs has a standard deviation of n**-0.5; 4.5 of them over 20 epochs of 4
    # decisions.
    size = 4096
    for epoch in range(20):
        keys = key(0, tf.fill([size], tf.constant(epoch, tf.int64)), stream=0)
        places = shuffled(tf.range(size, dtype=tf.int64), keys, size).numpy()
        assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 4.5 * size**-0.5


def test_endless_begins_at_the_step():
    dataset = endless(lambda step: 2 * step, 4)
    assert [x.numpy() for x in dataset.take(3)] == [8, 10, 12]
    assert dataset.cardinality() > 10**12


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    with pytest.raises(
        UserError, match=r"`batch_size` must be a multiple of the number of processes, 3. .*batch_size=8"
    ):
        Shard(1, 3).rows(8)


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_there_is_no_other_shard(index, count):
    with pytest.raises(ValueError, match=rf"`index` must be from 0 to {count - 1}. Received: index={index}"):
        Shard(index, count)
