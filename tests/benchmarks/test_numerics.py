import re

import pytest

# Results and gradients in units of the dtype's epsilon. float32 sums a few products in another order than float64's
# reference, and normalised gates divide by small variances; from float32 a half is rounded once.
MOST = {"float32": 100, "bfloat16": 1, "float16": 1}


def test_each_op_and_dtype(run_here):
    printed = run_here("numerics", "--smoke")
    seen = set()
    for line in printed.splitlines():
        head = re.match(r"\| (\w+) \| dtype ", line)
        if head:
            op = head[1]
        row = re.match(r"\| (.*) \| (\w+16|float32) \| (\S+) \| \S* \| (\S+) \| \S* \|$", line)
        if row:
            seen.add((op, row[2]))
            assert float(row[3]) < MOST[row[2]], line
            assert float(row[4]) < MOST[row[2]], line
    assert seen == {(op, dtype) for op in ("attention", "lstm", "gru") for dtype in MOST}


def test_an_unknown_op(load, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["numerics.py", "softmax"])
    with pytest.raises(SystemExit):
        load("numerics").main()
    assert "OP must be one of attention, lstm, gru. Received: softmax" in capsys.readouterr().err
