import re


def test_a_line_with_both(run):
    line = run("import_time.py", "--rounds", "1").stdout
    keras, ours, ratio = map(float, re.findall(r"(\d+\.\d+)", line))
    assert keras > 0
    assert ours > 0
    assert 0 < ratio < 10
