"""What the nodes do with statistics, without a pipeline."""

import numpy as np
import pytest

from ikelos.pipelines.errors import UserError

pytestmark = pytest.mark.tfx


def compare(trained, logged, *features):
    """The divergence of each feature between two sets of values by feature, and the features beyond 0.1."""
    import pandas as pd
    import tensorflow_data_validation as tfdv

    from ikelos.pipelines.tfx.statistics import skew_anomalies

    statistics = [tfdv.generate_statistics_from_dataframe(pd.DataFrame(values)) for values in (trained, logged)]
    limits = [{"feature": name, "distance": 0.1} for name in features]
    result = skew_anomalies(*statistics, limits)
    found = {info.path.step[0]: info.skew_measurements[0].value for info in result.drift_skew_info}
    return found, set(result.anomaly_info)


def divergence(p, q):
    """The Jensen-Shannon divergence of two distributions in bits (Lin 1991, section 2)."""

    def to_middle(a):
        return sum(x * np.log2(2 * x / (x + y)) for x, y in zip(a, q if a is p else p, strict=True) if x)

    return (to_middle(p) + to_middle(q)) / 2


def test_names_are_compared_by_their_shares():
    found, beyond = compare({"label": ["a"] * 60 + ["b"] * 40}, {"label": ["a"] * 9 + ["c"]}, "label")
    assert found["label"] == pytest.approx(divergence((0.6, 0.4, 0.0), (0.9, 0.0, 0.1)))
    assert beyond == {"label"}
    found, beyond = compare({"label": ["a"] * 60 + ["b"] * 40}, {"label": ["a"] * 6 + ["b"] * 4}, "label")
    assert (found, beyond) == ({"label": pytest.approx(0)}, set())


@pytest.mark.parametrize(
    ("begin", "expected"), [(0, 0.0), (1000, divergence((0.5, 0.5, 0), (0, 0.5, 0.5))), (4000, 1.0)]
)
def test_numbers_of_different_ranges_are_compared(begin, expected):
    values = np.arange(2000)
    found, beyond = compare({"bytes": values}, {"bytes": begin + values}, "bytes")
    assert found["bytes"] == pytest.approx(expected, abs=0.01)
    assert beyond == (set() if begin == 0 else {"bytes"})


def test_only_features_with_a_limit_count():
    trained, logged = {"bytes": [1, 2], "label": ["a", "b"]}, {"bytes": [1, 2], "other": ["c", "d"]}
    assert compare(trained, logged, "bytes")[1] == set()


def test_what_cannot_be_compared_is_refused():
    trained = {"image": [bytes([255, number]) for number in range(9)], "bytes": range(9)}
    with pytest.raises(UserError, match=r"`pipeline\.skew\.limits` must name .*\. Received: image, label"):
        compare(trained, trained | {"label": ["a"] * 9}, "bytes", "image", "label")
