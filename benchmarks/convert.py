"""Keras models before and after `model = ikelos.layers.convert(model)`.

    python benchmarks/convert.py [--quick] [--cases PATTERN] [--json PATH] [--plot PATH]

The models in `convert_models.py` are plain Keras: a bidirectional LSTM for sentiment, a Transformer that classifies
texts, and a Transformer that classifies time series, with the sizes of the examples that keras.io describes. The calls
`predict_on_batch` and `train_on_batch` are timed. `compare.py` explains the options and the table; the outputs of
prediction are compared before a case is timed. At the end, a table for the documentation is printed, with the largest
difference that the conversion makes to the outputs, which are probabilities.
"""

import json
import pathlib
import tempfile

import compare
import numpy as np
from workers import Contender

BEFORE = "Keras"
CALLS = {"prediction": "predict_on_batch", "training step": "train_on_batch"}
# For the name of each builder: the model's name, its sizes in full, and its smallest sizes.
MODELS = {
    "bidirectional_lstm": (
        "bidirectional LSTM, sentiment",
        {"batch": 32, "time": 200, "words": 20_000, "units": 64},
        {"batch": 2, "time": 5, "words": 11, "units": 3},
    ),
    "text_transformer": (
        "Transformer, texts",
        {"batch": 32, "time": 200, "words": 20_000, "width": 32, "heads": 2},
        {"batch": 2, "time": 5, "words": 11, "width": 4, "heads": 2},
    ),
    "series_transformer": (
        "Transformer, time series",
        {"batch": 64, "time": 500, "blocks": 4, "heads": 4, "head_size": 256},
        {"batch": 2, "time": 5, "blocks": 1, "heads": 2, "head_size": 4},
    ),
}


def build(case):
    """Returns a model in plain Keras and a batch, the same in all processes."""
    import convert_models
    import keras

    keras.utils.set_random_seed(0)
    return getattr(convert_models, case["model"])(case)


def contender(converted):
    """Returns `prepare` of a contender: the model in plain Keras, or converted."""

    def prepare(case):
        model, x, y = build(case)
        if converted:
            from ikelos.layers import convert

            model = convert(model)
        call = getattr(model, CALLS[case["what"]])
        batch = (x, y) if case["what"] == "training step" else (x,)
        # In training, the models draw different dropout masks, so only their predictions before it can be compared.
        return lambda: call(*batch), lambda: [model.predict_on_batch(x)]

    return prepare


def about_ours():
    from ikelos.kernels import dispatch

    return str(dispatch.explain("lstm", shape=[32, 200, 128]))


CONTENDERS = {
    compare.OURS: Contender(contender(converted=True), about=about_ours),
    BEFORE: Contender(contender(converted=False)),
}


def cases(effort):
    """Returns a case for predicting and one for training with each model."""
    return [
        compare.Case(
            f"{name}: {what}",
            {"model": builder, "what": what, **(least if effort == "smoke" else full)},
            {BEFORE: None},
        )
        for builder, (name, full, least) in MODELS.items()
        for what in CALLS
    ]


def largest_difference(case):
    """Returns the largest difference between the outputs of a model before and after conversion."""
    from ikelos.layers import convert

    model, x, _ = build(case)
    before = model.predict_on_batch(x)
    return float(np.max(np.abs(convert(model).predict_on_batch(x) - before)))


def for_the_docs(rows, differences):
    """Returns a table in Markdown; `differences` are by the name of the case."""
    lines = [
        "| one batch | `keras.layers`, ms | after `convert`, ms | speed-up | outputs differ by |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = f"{row['peer_ms']:.1f} | {row['ours_ms']:.1f} | {row['ratio']:.2f} | {differences[row['case']]:.0e}"
        lines.append(f"| {row['case']} | {numbers} |")
    return "\n".join(lines)


def main():
    """Runs the benchmark and prints both tables."""
    options = compare.make_comparison_parser(__doc__).parse_args()
    if options.serve:
        compare.run(options, CONTENDERS, cases, __file__)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.json = options.json or f"{folder}/rows.json"
        compare.run(options, CONTENDERS, cases, __file__)
        rows = json.loads(pathlib.Path(options.json).read_text())
    measured = {row["case"] for row in rows}
    measured = {case.name: case.arguments for case in cases(options.effort) if case.name in measured}
    by_model = {case["model"]: case for case in measured.values()}
    by_model = {model: largest_difference(case) for model, case in by_model.items()}
    differences = {name: by_model[case["model"]] for name, case in measured.items()}
    print(f"\n{for_the_docs(rows, differences)}")


if __name__ == "__main__":
    main()
