import json
import shutil

import pytest

from ikelos import serving
from ikelos.pipelines import lineage
from ikelos.pipelines.errors import UserError


def test_a_version_is_traced_to_its_checkpoints_data_and_figures(finished):
    version = serving.newest(finished / "export")
    provenance = serving.read_provenance(version)
    rows = lineage.of_run(finished, None)
    assert rows == lineage.of_run(finished, 1)
    assert rows["Version"] == str(version)
    assert rows["Recipe"] == f"SHA-256 {provenance['recipe']}"
    assert rows["Checkpoint of maker"].endswith(f", SHA-256 {provenance['checkpoints']['maker']['sha256']}")
    assert rows["Code"] == f"Ikelos {provenance['ikelos']}, TensorFlow {provenance['tensorflow']}"
    splits = json.loads((finished / "preprocessing" / "splits.json").read_text())
    assert {rows[f"Prepared {split}"] for split in splits} == {f"SHA-256 {value}" for value in splits.values()}
    assert rows["Result"].startswith("accuracy 0.")


def test_figures_of_other_weights_are_no_result_of_a_version(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    figures = json.loads((run / "evaluation.json").read_text())
    figures["provenance"]["recipe"] = "another"
    (run / "evaluation.json").write_text(json.dumps(figures))
    assert "Result" not in lineage.of_run(run, None)


def test_a_version_that_is_missing_is_named(finished, tmp_path):
    with pytest.raises(UserError, match=r"`--version` must be a version that `ikelos export` wrote\. .*export/7$"):
        lineage.of_run(finished, 7)
    run = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    with pytest.raises(UserError, match=r"Received: .*export, without a version$"):
        lineage.of_run(run, None)


def test_a_version_is_a_number_or_the_newest():
    assert (lineage.number("12"), lineage.number("newest")) == (12, None)
    for text in ("", "-1", "1.0", "latest", "²"):
        with pytest.raises(UserError, match=f"must be a number or newest. Received: --version {text}$"):
            lineage.number(text)
