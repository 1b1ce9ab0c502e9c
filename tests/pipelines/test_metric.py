import pytest

from ikelos.pipelines.metric import Metric


@pytest.mark.parametrize(("better", "worse", "best"), [("less", 2.0, 1.0), ("more", 1.0, 2.0)])
def test_its_direction_decides(better, worse, best):
    metric = Metric("figure", "units", better=better)
    assert metric.best([1.0, 2.0]) == best
    assert metric.improves(best, worse)
    assert not metric.improves(worse, best)
    assert not metric.improves(best, best)
    assert metric.improves(worse, None)
    assert metric.limit(1.0) == f"at {'most' if better == 'less' else 'least'} 1.000"


def test_numbers_are_written_its_way():
    metric = Metric("nats", "nats per image", ".1f")
    assert metric.text(1.25) == "1.2"
    assert metric.difference(3.0, 1.25) == "+1.8"
    assert metric.difference(1.0, 1.75) == "-0.8"
    assert Metric("units", "units", ",d").text(1234) == "1,234"


def test_another_direction_is_refused():
    with pytest.raises(ValueError, match="Received: better='higher'"):
        Metric("figure", "units", better="higher")
