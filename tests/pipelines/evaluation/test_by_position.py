import numpy as np
import pytest

from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import by_position
from ikelos.pipelines.text import windows


def test_positions_are_the_columns_of_the_windows():
    documents = Ragged.of([np.arange(4, 4 + length) for length in (3, 8, 1, 21, 16)])
    dataset = windows.strided(documents, 8, 8, 3)
    columns = np.concatenate([np.nonzero(batch["sample_weight"].numpy())[1] for batch in dataset])
    np.testing.assert_array_equal(by_position.positions(documents, 8), columns)


def test_costs_are_means_over_groups_that_double():
    place = np.array([0, 1, 2, 3, 4, 0, 1, 9])
    nll = [np.array([4.0, 3.0, 2.0]), np.array([1.0, 0.5, 2.0, 1.0, 7.0])]
    assert by_position.costs(nll, place) == [
        {"first": 0, "last": 0, "tokens": 2, "nats": 3.0},
        {"first": 1, "last": 1, "tokens": 2, "nats": 2.0},
        {"first": 2, "last": 3, "tokens": 2, "nats": 1.5},
        {"first": 4, "last": 4, "tokens": 1, "nats": 0.5},
        {"first": 8, "last": 9, "tokens": 1, "nats": 7.0},
    ]
    with pytest.raises(ValueError, match="`nll` must be of 8 tokens"):
        by_position.costs(nll[:1], place)


def test_the_section_shows_all_groups():
    (section,) = by_position.section(by_position.costs([np.ones(9)], np.arange(9)))
    assert "4 to 7: 1.00" in section.alt
    assert by_position.section([]) == []
