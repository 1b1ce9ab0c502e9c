import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import apertium

PROGRAM = """\
#!/bin/sh
if [ "$*" != "-u -f line eng-spa" ]; then echo "Error: Mode $4 does not exist." >&2; exit 1; fi
tr a-z A-Z
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program with Apertium's options on the PATH, which writes everything in capitals."""
    path = tmp_path / "apertium"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.mark.usefixtures("program")
def test_each_text_has_a_line():
    assert apertium.is_installed()
    assert apertium.translate(["a cat\nsat", "", " b "], "eng-spa") == ["A CAT SAT", "", "B"]


@pytest.mark.usefixtures("program")
def test_an_unknown_direction_is_named():
    with pytest.raises(UserError, match=r"Received: 'eng-tlh': Error: Mode eng-tlh does not exist\."):
        apertium.translate(["a"], "eng-tlh")


def test_a_missing_program_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not apertium.is_installed()
