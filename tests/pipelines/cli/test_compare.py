import shutil


def test_figures_and_differences_stand_side_by_side(ikelos_command, toy, finished, tmp_path):
    runs = [shutil.copytree(finished, tmp_path / name) for name in ("a", "b")]
    recipe = (runs[1] / "recipe.yaml").read_text()
    (runs[1] / "recipe.yaml").write_text(recipe.replace("learning_rate: 0.05", "learning_rate: 0.5"))
    result = ikelos_command("compare", *runs, "--output", "page")
    assert (result.status, result.err) == (0, "")
    table, _, differences = result.out.partition("Differences between the recipes")
    head, *rows = table.splitlines()
    assert "share as asked for" in head
    assert [row.split()[0] for row in rows if row.strip()] == [str(run) for run in runs]
    assert differences.split()[:4] == ["judge.optimizers.model.learning_rate", "0.05", "|", "0.5"]
    assert "page/report.html" in differences
    (runs[1] / "recipe.yaml").write_text(recipe.replace("seed: 0", "seed: 1"))
    result = ikelos_command("compare", *runs, "--output", "page")
    assert [row.split()[0] for row in result.out.splitlines()[3:5]] == ["mean", "standard"]


def test_two_runs_are_asked_for(ikelos_command, tmp_path):
    alone = ikelos_command("compare", tmp_path)
    assert (alone.status, alone.err) == (2, "Error: WORKDIR must be given at least twice. Received: one folder\n")
    missing = ikelos_command("compare", tmp_path, tmp_path / "none")
    assert (missing.status, "must be the folder of a run" in missing.err) == (2, True)


def test_a_folder_may_be_compared_once(ikelos_process, toy, finished, tmp_path):
    (tmp_path / "link").symlink_to(finished)
    result = ikelos_process("compare", finished, tmp_path / "link", after="assert 'tensorflow' not in sys.modules")
    assert (result.status, result.err) == (
        2,
        f"Error: WORKDIR must be a different folder each time. Received: {finished} and {tmp_path}/link, the same\n",
    )


def test_the_folder_of_the_page_must_be_writable_before_tensorflow_is_loaded(ikelos_process, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / "other")
    (tmp_path / "page").write_text("")
    result = ikelos_process(
        "compare", finished, other, "--output", "page", after="assert 'tensorflow' not in sys.modules"
    )
    assert (result.status, result.err) == (2, "Error: page must be a folder to write to. Received: a file\n")
    empty = ikelos_process("compare", finished, "")
    assert (empty.status, "must be a path. Received: ''" in empty.err) == (2, True)


def test_names_of_runs_are_shown_as_they_are(ikelos_command, toy, finished, tmp_path):
    runs = [shutil.copytree(finished, tmp_path / name) for name in ("[red]", "a\x1b[31m")]
    result = ikelos_command("compare", *runs)
    rows = [row.split()[0] for row in result.out.splitlines()[1:3]]
    assert rows == [f"{tmp_path}/[red]", rf"{tmp_path}/a\x1b[31m"]


def test_the_page_is_by_default_beside_the_runs(ikelos_command, toy, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / "other")
    result = ikelos_command("compare", finished, other)
    assert (result.status, "runs/comparison/report.html" in result.out) == (0, True)
    assert (tmp_path / "here" / "runs" / "comparison" / "report.html").is_file()
