import json

from ikelos.pipelines import runner
from ikelos.pipelines.tasks.dialogue.task import LANGUAGE_MODEL, RANKER
from ikelos.serving import StockModel


def test_a_run_is_trained_reported_and_served(shrunk, tmp_path):
    runner.run(shrunk("dialogue"), tmp_path / "run")
    for stage, figure in ((RANKER, "validation_reply_accuracy"), (LANGUAGE_MODEL, "validation_loss")):
        history = (tmp_path / "run" / "stages" / stage / "history.jsonl").read_text().splitlines()
        assert all(figure in record for record in map(json.loads, history) if record["event"] == "epoch")
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    print(json.dumps(results, indent=1)[:3000])
    with StockModel(tmp_path / "run" / "export" / "1") as served:
        found = served.run("rank", {"history": ["hello"], "replies": [["a", "b", "c"]]})
        assert found["score"].shape == (1, 3)
