import itertools

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.order import Shard
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN
from ikelos.pipelines.text.windows import bucketed, ending_at, fitting, packed, paired, paired_in_order, pieces, strided

T, B = 8, 3


def batches(dataset, count):
    return [{k: v.numpy() for k, v in batch.items()} for batch in dataset.take(count)]


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def some_rows(count=41, longest=24, seed=0):
    # Row i holds the token 4 + i alone, so that a batch shows which rows it has.
    lengths = np.random.default_rng(seed).integers(1, longest + 1, count)
    return Ragged.of([np.full(length, 4 + i, np.int32) for i, length in enumerate(lengths)])


def ragged(lengths):
    """Returns rows of these lengths, or none."""
    return Ragged(np.full(sum(lengths), 4, np.int32), np.cumsum([0, *lengths]))


def assert_shards_are_the_batches(dataset_of):
    """Checks batches of 12 rows, taken whole and in two or three shards."""
    whole = batches(dataset_of(Shard()), 6)
    for count in (2, 3):
        shards = [batches(dataset_of(Shard(index, count)), 6) for index in range(count)]
        together = [
            {k: np.concatenate([part[k] for part in parts]) for k in parts[0]} for parts in zip(*shards, strict=True)
        ]
        assert_equal(together, whole)
    with pytest.raises(
        UserError, match=r"`batch_size` must be a multiple of the number of processes, 5. .*batch_size=12"
    ):
        dataset_of(Shard(0, 5))


def assert_is_an_element(batch, length):
    assert batch["id"].dtype == np.int64
    assert batch["x"].dtype == batch["y"].dtype == np.int32
    assert batch["sample_weight"].dtype == np.float32
    for name in ("x", "y", "sample_weight"):
        assert batch[name].shape == (len(batch["id"]), length)
    filled = batch["y"] != 0
    np.testing.assert_array_equal(batch["x"][:, 0], 1)
    np.testing.assert_array_equal(batch["x"][:, 1:], np.where(filled[:, 1:], batch["y"][:, :-1], 0))


# packed


def tokens_of(count):
    # Each token is its position, plus the number of special ids.
    return np.arange(4, 4 + count, dtype=np.int32)


def test_packed_elements():
    count = 100
    dataset = packed(tokens_of(count), T, B, seed=1, start_step=0)
    assert dataset.element_spec["x"] == tf.TensorSpec([B, T], tf.int32)
    for batch in batches(dataset, 30):
        assert_is_an_element(batch, T)
        np.testing.assert_array_equal(batch["sample_weight"], 1)
        np.testing.assert_array_equal(batch["y"] - 4, (batch["id"][:, None] + np.arange(T)) % count)


@pytest.mark.parametrize("start", [1, 100])
def test_packed_from_a_step_is_the_rest(start):
    whole = packed(tokens_of(59), T, B, seed=3, start_step=0)
    rest = packed(tokens_of(59), T, B, seed=3, start_step=start)
    assert_equal(batches(whole.skip(start), 5), batches(rest, 5))


@pytest.mark.parametrize("count", [8, 9, 59, 64])
def test_packed_shows_each_token_once_an_epoch_but_for_the_remainder(count):
    windows = count // T
    epochs = 6
    examples = itertools.chain.from_iterable(
        batch["y"] for batch in batches(packed(tokens_of(count), T, 1, seed=0, start_step=0), epochs * windows)
    )
    phases = set()
    for _ in range(epochs):
        epoch = np.concatenate(list(itertools.islice(examples, windows)))
        assert len(set(epoch)) == len(epoch) == windows * T == count - count % T
        phases.add(min(epoch.reshape(windows, T)[:, 0] % T))
    if count > 2 * T:
        assert len(phases) > 1


def test_packed_batches_cross_epochs_without_a_gap():
    one = np.concatenate([b["id"] for b in batches(packed(tokens_of(59), T, 1, seed=4, start_step=0), 60)])
    many = np.concatenate([b["id"] for b in batches(packed(tokens_of(59), T, 20, seed=4, start_step=0), 3)])
    np.testing.assert_array_equal(one, many)


def test_packed_orders_differ_by_seed_and_epoch():
    ids = {seed: batches(packed(tokens_of(200), T, 25, seed, start_step=0), 2) for seed in (0, 1)}
    assert (ids[0][0]["id"] != ids[1][0]["id"]).any()
    assert (ids[0][0]["id"] != ids[0][1]["id"]).any()


def test_packed_phases_are_even():
    # One window in each epoch starts at the phase. Chi-squared of 10 bins over 3000 epochs: 9 degrees of
    # freedom, 1e-4 quantile 33.7.
    count, epochs = 50, 3000
    dataset = packed(tokens_of(count), 40, 100, seed=0, start_step=0)
    starts = np.concatenate([batch["id"] for batch in batches(dataset, epochs // 100)])
    found = np.bincount(starts * 10 // count, minlength=10)
    assert ((found - epochs / 10) ** 2 / (epochs / 10)).sum() < 33.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": 128}, r"^`context` must be at most 57, the number of training tokens\. Received: context=128$"),
        ({"context": 0}, "`context` must be at least 1. Received: context=0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        ({"seed": 2**31}, "`seed` must be a 32-bit integer. Received: seed=2147483648"),
        ({"start_step": -1}, "`start_step` must be at least 0. Received: start_step=-1"),
    ],
)
def test_packed_refuses(arguments, message):
    valid = {"context": T, "batch_size": B, "seed": 0, "start_step": 0}
    with pytest.raises(UserError, match=message):
        packed(tokens_of(57), **{**valid, **arguments})


def test_packed_shards_are_the_batches():
    assert_shards_are_the_batches(lambda shard: packed(tokens_of(59), T, 12, seed=3, start_step=2, shard=shard))


# bucketed

BOUNDARIES = [4, 10, 24]


def test_bucketed_elements():
    rows = some_rows()
    for batch in batches(bucketed(rows, BOUNDARIES, B, seed=0, start_step=0), 60):
        longest = max(len(rows[i]) for i in batch["id"])
        length = next(boundary for boundary in BOUNDARIES if boundary >= longest)
        assert_is_an_element(batch, length)
        for row, y, weight in zip(batch["id"], batch["y"], batch["sample_weight"], strict=True):
            assert len(rows[row]) > max([0, *(b for b in BOUNDARIES if b < length)])
            padding = [0] * (length - len(rows[row]))
            np.testing.assert_array_equal(y, [*rows[row], *padding])
            np.testing.assert_array_equal(weight, [*np.ones(len(rows[row])), *padding])


@pytest.mark.parametrize("start", [1, 100])
def test_bucketed_from_a_step_is_the_rest(start):
    whole = bucketed(some_rows(), BOUNDARIES, B, seed=3, start_step=0)
    rest = bucketed(some_rows(), BOUNDARIES, B, seed=3, start_step=start)
    assert_equal(batches(whole.skip(start), 5), batches(rest, 5))


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (5, 7), (41, 1), (41, 4)])
def test_bucketed_draws_rows_equally_often(count, batch_size):
    rows = some_rows(count)
    seen = np.zeros(count, int)
    dataset = bucketed(rows, BOUNDARIES, batch_size, seed=1, start_step=0)
    for step, batch in enumerate(batches(dataset, 3 * count), start=1):
        np.add.at(seen, batch["id"], 1)
        if step % count == 0:
            np.testing.assert_array_equal(seen, step // count * batch_size)


def test_bucketed_stays_even_within_a_cycle():
    rows = some_rows(count=60)
    seen = np.zeros(len(rows), int)
    bucket = np.searchsorted(BOUNDARIES, [len(row) for row in rows])
    for batch in batches(bucketed(rows, BOUNDARIES, 4, seed=1, start_step=0), 60):
        np.add.at(seen, batch["id"], 1)
        for k in range(len(BOUNDARIES)):
            assert np.ptp(seen[bucket == k]) <= 1


def test_bucketed_orders_differ_by_seed_and_epoch():
    first, second = (
        np.concatenate([b["id"] for b in batches(bucketed(some_rows(), [24], 1, s, start_step=0), 82)]) for s in (0, 1)
    )
    assert (first != second).any()
    assert (first[:41] != first[41:]).any()


def test_bucketed_shards_are_the_batches():
    rows = some_rows()
    assert_shards_are_the_batches(lambda shard: bucketed(rows, BOUNDARIES, 12, seed=3, start_step=2, shard=shard))


def test_bucketed_mixes_the_buckets():
    lengths = [b["y"].shape[1] for b in batches(bucketed(some_rows(200), BOUNDARIES, 2, 0, start_step=0), 100)]
    changes = np.count_nonzero(np.diff(lengths))
    assert changes > 20


@pytest.mark.parametrize(
    ("rows", "boundaries", "message"),
    [
        ([], [8], r"^`rows` must have at least one row\. Received: no rows$"),
        ([9], [8], r"^`rows` must have 1 to 8 tokens each, .*=\[8\]\. Received: rows of 9 to 9 tokens$"),
        ([0, 3], [8], "`rows` must have 1 to 8 tokens .* of 0 to 3"),
        ([3], [8, 8], r"ascending. Received: boundaries=\[8, 8\]"),
        ([3], [], r"boundaries=\[\]"),
        ([3], [0, 8], r"boundaries=\[0, 8\]"),
    ],
)
def test_bucketed_refuses(rows, boundaries, message):
    with pytest.raises(UserError, match=message):
        bucketed(ragged(rows), boundaries, B, seed=0, start_step=0)


def test_pieces_hold_all_tokens_in_order():
    documents = [np.arange(n, dtype=np.int32) for n in (0, 1, 8, 19)]
    rows = pieces(Ragged.of(documents), T)
    assert [len(row) for row in rows] == [1, 8, 8, 8, 3]
    np.testing.assert_array_equal(np.concatenate(rows), np.concatenate(documents))


# strided


def brute_force(documents, context, stride):
    """Yields (place, tokens seen before it) for each token of each document, by the rule as it is written
    down."""
    expected = []
    for document in documents:
        for place in range(len(document)):
            if place < context:
                start = 0
            else:
                end = min(context + ((place - context) // stride + 1) * stride, len(document))
                start = end - context
            expected.append((document[place], list(document[start:place])))
    return expected


@pytest.mark.parametrize(("context", "stride"), [(8, 8), (8, 3), (8, 1), (1, 1)])
@pytest.mark.parametrize(("lengths", "batch_size"), [([9], 1), ([0, 3, 0], 2), ([20, 7, 8, 33], 4)])
def test_strided_counts_each_token_once_with_its_context(lengths, context, stride, batch_size):
    edges = np.cumsum([4, *lengths])
    documents = [np.arange(a, b, dtype=np.int32) for a, b in itertools.pairwise(edges)]
    found, ids = [], []
    dataset = strided(Ragged.of(documents), context, stride, batch_size)
    for batch in batches(dataset, -1):
        assert_is_an_element(batch, context)
        ids.extend(batch["id"])
        for start, x, y, weight in zip(*(batch[k] for k in ("id", "x", "y", "sample_weight")), strict=True):
            assert y[0] == 4 + start
            for place in np.flatnonzero(weight):
                assert weight[place] == 1
                found.append((y[place], list(x[1 : place + 1])))
    assert found == brute_force(documents, context, stride)
    assert len(set(ids)) == len(ids)
    assert dataset.cardinality() == -(-len(ids) // batch_size)
    for token, seen in found:
        place = next(token - d[0] for d in documents if len(d) and d[0] <= token <= d[-1])
        assert len(seen) >= min(place, context - stride)


@pytest.mark.parametrize(
    ("lengths", "context", "stride", "message"),
    [
        ([5], 8, 9, "`stride` must be at most the context, 8.*Received: stride=9"),
        ([5], 8, 0, "`stride` must be at least 1. Received: stride=0"),
        ([0, 0], 8, 4, r"^`documents` must have at least one token\. Received: no tokens$"),
        ([], 8, 4, r"^`documents` must have at least one token\. Received: no tokens$"),
    ],
)
def test_strided_refuses(lengths, context, stride, message):
    with pytest.raises(UserError, match=message):
        strided(ragged(lengths), context, stride, 2)


# All kinds of windows, with tokens in a file


def test_tokens_in_a_file_give_the_batches_of_those_in_memory(store_of):
    lengths = np.random.default_rng(0).integers(0, 30, 20)
    documents = [np.random.default_rng(length).integers(4, 60_000, length) for length in lengths]
    there = store_of({"tokens": [document.astype(np.uint16) for document in documents]}).ragged("tokens")
    here = Ragged.of([document.astype(np.int32) for document in documents])
    ways = [
        lambda tokens: packed(tokens.values, T, 5, seed=1, start_step=3),
        lambda tokens: bucketed(pieces(tokens, T), [3, T], 5, seed=1, start_step=3),
        lambda tokens: strided(tokens, T, 3, 5),
    ]
    for way in ways:
        assert_equal(batches(way(there), 20), batches(way(here), 20))


# paired


def some_pairs():
    # Longer texts than the last boundary belong to pairs that are left out.
    return some_rows(count=41, longest=30, seed=1), some_rows(count=41, longest=30, seed=2)


def pair_batches(dataset, count):
    found = []
    for batch in dataset.take(count):
        texts = {name: value.numpy() for name, value in batch["x"].items()}
        found.append({**{name: value.numpy() for name, value in batch.items() if name != "x"}, **texts})
    return found


def test_paired_elements_have_both_texts_of_a_pair():
    sources, targets = some_pairs()
    for batch in pair_batches(paired(sources, targets, BOUNDARIES, B, seed=0, start_step=0), 60):
        assert batch["source"].shape == batch["target"].shape == batch["y"].shape
        assert batch["y"].shape[1] in BOUNDARIES
        for row, index in enumerate(batch["id"]):
            source, target = sources[index], targets[index]
            assert max(len(source), len(target)) <= batch["y"].shape[1]
            np.testing.assert_array_equal(batch["source"][row], np.pad(source, (0, batch["y"].shape[1] - len(source))))
            np.testing.assert_array_equal(batch["y"][row][: len(target)], target)
            np.testing.assert_array_equal(batch["target"][row][: len(target)], [1, *target[:-1]])
            np.testing.assert_array_equal(batch["sample_weight"][row], np.arange(batch["y"].shape[1]) < len(target))


def test_paired_draws_every_pair_that_fits():
    sources, targets = some_pairs()
    fits = np.flatnonzero(np.maximum(sources.lengths, targets.lengths) <= BOUNDARIES[-1])
    assert 0 < len(fits) == fitting(sources, targets, BOUNDARIES[-1]) < 41
    drawn = pair_batches(paired(sources, targets, BOUNDARIES, 1, seed=0, start_step=0), len(fits))
    assert sorted(int(batch["id"][0]) for batch in drawn) == fits.tolist()
    ordered = pair_batches(paired_in_order(sources, targets, BOUNDARIES[-1], B), 100)
    ids = np.concatenate([batch["id"] for batch in ordered])
    assert sorted(ids.tolist()) == fits.tolist()
    assert (np.diff(np.maximum(sources.lengths, targets.lengths)[ids]) >= 0).all()
    for batch in ordered:
        assert batch["source"].shape[1] == sources.lengths[batch["id"]].max()
        assert batch["y"].shape[1] == targets.lengths[batch["id"]].max()


def test_paired_shards_are_the_batches():
    sources, targets = some_pairs()

    def dataset_of(shard):
        dataset = paired(sources, targets, [24], 12, 0, 3, shard)
        return dataset.map(lambda batch: {**batch, "x": batch["x"]["source"], "target": batch["x"]["target"]})

    assert_shards_are_the_batches(dataset_of)


def test_without_a_pair_that_fits_there_is_nothing_in_order():
    sources, targets = some_pairs()
    with pytest.raises(UserError, match=r"`longest` must leave a pair of texts. Received: longest=1"):
        paired_in_order(sources, targets, 1, B)


def test_windows_that_end_at_a_token_begin_with_begin_of_text():
    documents = Ragged.of([np.array([BEGIN, 5, 6, 7, 8]), np.array([BEGIN, 9, 10])])
    found, lengths = ending_at(documents, np.array([3, 4, 7, 5]), 4)
    np.testing.assert_array_equal(found, [[BEGIN, 5, 6, 7], [BEGIN, 6, 7, 8], [BEGIN, 9, 10, 0], [BEGIN, 0, 0, 0]])
    assert lengths.tolist() == [4, 4, 3, 1]
