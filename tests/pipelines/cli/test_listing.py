from ikelos.pipelines.data import sources


def test_recipes_and_data_sets_are_listed_with_a_line_each(ikelos_command, toy):
    result = ikelos_command("list")
    assert (result.status, result.err) == (0, "")
    recipes, _, data = result.out.partition("Data sets")
    assert [line.split() for line in recipes.splitlines() if line.startswith("  toy")] == [
        ["toy", "Greets;", "one", "second;", "0.5", "nats", "per", "greeting."],
        ["toy_fast", "Greets;", "one", "second;", "0.5", "nats", "per", "greeting."],
    ]
    for name, description in sources.available().items():
        assert name in data
        assert description in data
