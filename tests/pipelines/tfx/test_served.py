import json
import shutil

import pytest

from ikelos import serving
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import push, served, storage

EXAMPLES = {"about": {}, "splits": {"train": {"examples": 1234, "bytes": 99, "sha256": "a1b2"}}}


@pytest.fixture(params=["a file system", "an object store"])
def root(request, tmp_path):
    return str(tmp_path / "root") if request.param == "a file system" else f"memory://{tmp_path.name}/root"


def pushed(finished, root):
    """Publishes a run and pushes its model as a pipeline does; gives the base path and the URI of the run."""
    run, base = f"{root}/Trainer/model_run/6", f"{root}/served"
    with storage.published(run) as folder:
        shutil.copytree(finished, folder, dirs_exist_ok=True)
        (folder / "examples.json").write_text(json.dumps(EXAMPLES))
    push.push(finished / "export" / "1", base, run)
    return base, run


def test_a_version_is_traced_to_its_run_and_data(finished, root):
    base, run = pushed(finished, root)
    rows = served.lineage(base, None)
    assert rows == served.lineage(base, 1)
    provenance = serving.read_provenance(finished / "export" / "1")
    assert (rows["Version"], rows["Model run"]) == (f"{base}/1", run)
    assert rows["Recipe"] == f"SHA-256 {provenance['recipe']}"
    assert rows["Checkpoint of maker"].endswith(provenance["checkpoints"]["maker"]["sha256"])
    assert rows["Examples of train"] == "1,234, SHA-256 a1b2"
    splits = json.loads((finished / "preprocessing" / "splits.json").read_text())
    assert rows["Prepared train"] == f"SHA-256 {splits['train']}"


def test_the_run_that_a_run_began_with_is_named(finished, tmp_path):
    base, run = pushed(finished, str(tmp_path / "root"))
    assert "Began with" not in served.lineage(base, None)
    storage.write(f"{run}/preprocessing/from.json", b'{"run": "artifacts/3", "checkpoints": {}}')
    assert served.lineage(base, None)["Began with"] == "artifacts/3"


def test_the_data_of_a_run_that_is_gone_are_unknown(finished, tmp_path):
    base, run = pushed(finished, str(tmp_path / "root"))
    shutil.rmtree(run)
    rows = served.lineage(base, None)
    assert rows["Model run"] == run
    assert rows["Data"].startswith("unknown, as the model run cannot be read: ")
    assert "Examples of train" not in rows


def test_a_version_that_no_pipeline_pushed_has_no_run(finished):
    rows = served.lineage(str(finished / "export"), None)
    assert rows["Recipe"].startswith("SHA-256 ")
    assert rows["Model run"] == "unknown, as no pipeline pushed this version"


def test_a_version_that_is_missing_is_named(finished, tmp_path):
    with pytest.raises(UserError, match=r"`--version` must be a version that Ikelos exported\. Received: .*export/7$"):
        served.lineage(str(finished / "export"), 7)
    with pytest.raises(UserError, match=r"Received: .*, without a version$"):
        served.lineage(str(tmp_path), None)
