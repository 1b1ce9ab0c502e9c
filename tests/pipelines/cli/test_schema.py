from ikelos.pipelines.tfx import needs


def test_help_has_an_example_and_says_what_is_written(ikelos_command):
    result = ikelos_command("schema", "infer", "-h")
    assert result.status == 0
    assert "Example: ikelos schema infer " in result.out
    assert "rites no files but" in result.out


def test_a_schema_needs_tfx(ikelos_command, monkeypatch):
    monkeypatch.setattr(needs, "_OLDEST_GLIBC", (99, 0))
    result = ikelos_command("schema", "infer", "language_modeling")
    assert (result.status, result.out, "TFX must have glibc" in result.err) == (2, "", True)


def test_a_file_that_cannot_be_written_is_named_before_any_work(ikelos_command, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "schema.pbtxt", tmp_path):
        result = ikelos_command("schema", "infer", "language_modeling", "--output", output)
        assert (result.status, str(output) in result.err or str(output.parent) in result.err) == (2, True)
