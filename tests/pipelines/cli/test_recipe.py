from ikelos.pipelines.recipe import loading


def test_a_recipe_is_printed_as_its_file_is(ikelos_command, toy):
    result = ikelos_command("recipe", "toy")
    assert (result.status, result.err) == (0, "")
    assert result.out == (toy / "toy.yaml").read_text()


def test_a_copy_of_a_packaged_recipe_runs_as_it_does(ikelos_command, tmp_path):
    (tmp_path / "mine.yaml").write_text(ikelos_command("recipe", "language_modeling").out)
    assert loading.load(tmp_path / "mine.yaml").raw == loading.load("language_modeling").raw


def test_every_key_is_told_with_its_value_type_and_meaning(ikelos_command, toy):
    result = ikelos_command("recipe", toy / "toy.yaml", "--keys")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    for title, meaning in [
        ("training.steps = 100  (integer > 0)", "    Total number of training steps."),
        ("model.kind = recurrent  (recurrent | attentive)", None),
        ("model.units = 8  (integer > 0; with model.kind=recurrent)", None),
        ("model.heads  (integer > 0; with model.kind=attentive)", None),
        ("data.held_out = [macbeth, hamlet]  (list of text)", None),
        ("training.profile_steps = null  ([integer > 0, integer > 0] or null)", None),
        ("export  (section)", "    The settings of the export."),
        ("evaluation.peers[].value  (number)", "    The model's value of the task's first metric."),
    ]:
        place = lines.index(title)
        assert meaning is None or lines[place + 1].startswith(meaning)
    sections = [line.split()[0] for line in lines if line.endswith("  (section)") and "." not in line.split()[0]]
    assert sections == ["data", "model", "training", "evaluation", "export"]


def test_a_value_belongs_to_the_kind_of_section_that_the_recipe_has(ikelos_command, tmp_path):
    named = ikelos_command("recipe", "language_modeling", "--keys").out.splitlines()
    assert [line for line in named if line.startswith("data.source.splits.validation")] == [
        "data.source.splits.validation = validation  (text)",
        "data.source.splits.validation  (number > 0 and < 1)",
    ]
    assert sum(line.startswith("model.num_layers = ") for line in named) == 1  # of `transformer` and of `lstm`
    source = loading.load("language_modeling", ["data.source={files: a, splits: {validation: 0.25, test: 0.05}}"])
    (tmp_path / "mine.yaml").write_text(loading.dump(source))
    shared = ikelos_command("recipe", tmp_path / "mine.yaml", "--keys").out.splitlines()
    assert [line for line in shared if line.startswith("data.source.splits.validation")] == [
        "data.source.splits.validation  (text)",
        "data.source.splits.validation = 0.25  (number > 0 and < 1)",
    ]


def test_an_unknown_recipe_is_one_line(ikelos_command, toy):
    for arguments in (["toyy"], ["toyy", "--keys"]):
        result = ikelos_command("recipe", *arguments)
        assert (result.status, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert "did you mean toy?" in result.err
