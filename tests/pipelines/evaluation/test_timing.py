from ikelos.pipelines.evaluation.timing import interleaved


def test_timers_take_turns_and_the_first_call_is_not_counted():
    calls = []

    def timer(name):
        def run(text):
            calls.append((name, text))
            return float(len(calls))

        return run

    found = interleaved({"a": timer("a"), "b": timer("b")}, ["short", "long"], 2, "the speed")
    assert calls == [(name, text) for text in ("short", "long") for _ in range(3) for name in "ab"]
    assert found == [{"a": [3, 5], "b": [4, 6]}, {"a": [9, 11], "b": [10, 12]}]
