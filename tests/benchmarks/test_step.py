import json
import re

import pytest


@pytest.mark.slow
def test_ours_and_keras(run_here, tmp_path):
    run_here("step", "--smoke", "--peers", "Keras|PyTorch", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    assert {row["peer"] for row in rows} - {"PyTorch eager", "PyTorch compiled"} == {"Keras layers"}
    assert {row["case"] for row in rows} == {"Transformer step T=16 B=2", "LSTM step T=16 B=2"}


def test_the_profile_names_our_ops_and_parts(run_here, tmp_path):
    printed = run_here("step", "--smoke", "--cases", "LSTM", "--profile", tmp_path / "profile")
    for name in ("attention, LSTM", "matrix products, backward", "optimizer", "IkelosLstm", "IkelosLstmGrad"):
        assert re.search(rf"^{name} ", printed, re.MULTILINE), printed
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("op", "part"),
    [
        ("model/block_0/feed_forward/down/MatMul:_MklMatMul", "matrix products, forward"),
        ("gradient_tape/model/block_0/feed_forward/down/MatMul/MatMul_1:_MklMatMul", "matrix products, backward"),
        ("gradient_tape/model/block_0/attention/rotary/mul/Mul:Mul", "rotary positions"),
        ("gradient_tape/model/block_0/attention/IkelosAttentionGrad:IkelosAttentionGrad", "attention, LSTM"),
        ("adam_w/Square_7:Square", "optimizer"),
        ("AddN_3:AddN", "residual sums and others"),
    ],
)
def test_the_part_of_an_op(load, op, part):
    assert load("step").part(op) == part


def test_without_a_compiler_pytorch_is_not_compiled(load, monkeypatch, capsys):
    step = load("step")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert set(step.CONTENDERS) - set(step.available()) == {"PyTorch compiled"}
    assert "Not run: PyTorch compiled (inductor needs a C++ compiler" in capsys.readouterr().out
