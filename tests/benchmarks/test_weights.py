import json

import numpy as np
import pytest


@pytest.fixture
def weights(load):
    return load("weights")


def test_int8_has_a_scale_for_each_column(weights):
    matrix = np.random.default_rng(0).standard_normal([50, 3]).astype(np.float32) * [1e-3, 1, 1e3]
    values, scale = weights.quantised(np.concatenate([matrix, np.zeros([50, 1])], axis=1).astype(np.float32))
    assert values.dtype == np.int8
    assert scale.shape == (1, 4)
    assert (np.abs(values).max(axis=0) == [127, 127, 127, 0]).all()
    # Rounding is off by at most half a step.
    assert (np.abs(values * scale)[:, :3] <= np.abs(matrix) + 0.51 * scale[:, :3]).all()
    assert (np.abs((values * scale)[:, :3] - matrix) <= 0.51 * scale[:, :3]).all()


@pytest.mark.slow
def test_exports_with_fewer_bits_are_smaller(weights, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["weights.py", "--smoke", "--json", str(tmp_path / "rows")])
    weights.main()
    rows = json.loads((tmp_path / "rows").read_text())
    assert [row["weights"] for row in rows] == ["float32", "bfloat16", "int8"]
    assert all(row["per_second_1"] > 0 for row in rows)
