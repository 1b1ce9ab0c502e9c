import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report import charts
from ikelos.pipelines.report.charts import Bar, Panel
from ikelos.pipelines.report.palette import LIGHT

NATS = Metric("nats_per_character", "nats per character")
LOSS = Metric("loss", "nats per token")
BARS = [
    Bar("peer", 1.8, 1.1, "peer"),
    Bar("ours", 1.462, 2.4, "ours"),
    Bar("trigram", 1.931, 0.1, "baseline"),
    Bar("unigram", 3.307, None, "baseline"),
]


@pytest.fixture
def history():
    """Returns four step records of five steps each, and two epochs; one step in the second record was clipped."""
    records = []
    for index, step in enumerate((5, 10, 15, 20)):
        records.append(
            {
                "event": "step",
                "step": step,
                "loss": 4.0 - index,
                "learning_rate": 1e-3 * (index + 1),
                "gradient_norm": 0.5,
                "gradient_norm_max": 3.0 if index == 1 else 0.75,
                "clipped": 0.2 if index == 1 else 0.0,
                "units_per_second": 1000.0,
                "seconds": 60.0 * (index + 1),
            }
        )
        if step % 10 == 0:
            records.append(
                {
                    "event": "epoch",
                    "step": step,
                    "epoch": step // 10,
                    "loss": 3.0,
                    "validation_loss": 3.5 if step == 10 else 2.5,
                    "seconds": 60.0 * (index + 1),
                    "units": 100 * step,
                    "samples": [],
                }
            )
    return records


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_comparison_has_a_bar_for_each_model_the_best_on_top():
    figure = charts.comparison(BARS, NATS)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "peer", "trigram", "unigram"]
    assert [bar.get_width() for bar in axes.patches] == [1.462, 1.8, 1.931, 3.307]
    tops = [bar.get_y() for bar in axes.patches]
    assert tops == sorted(tops)
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "nats per character (less is better)"
    assert axes.get_xlim()[0] == 0
    assert [text.get_text() for text in axes.texts] == [
        "1.462  2.4 min",
        "1.800  1.1 min",
        "1.931  6 s",
        "3.307",
    ]


ODD = {"runs/$a_{b$": "runs/$a_{b$", "_hidden": " _hidden", "\udcff": "\\udcff", "$x$": "$x$"}


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_drawn_as_they_are(name):
    for figure in (
        charts.comparison([Bar(name, -2.0, None, "baseline")], NATS),
        charts.validation_curves({name: [{"step": 1, "validation_loss": 2.0}]}, LOSS),
    ):
        figure.savefig(io.BytesIO(), format="svg")
    (legend,) = figure.axes[0].get_legend().get_texts()
    assert legend.get_text().replace(r"\$", "$") == ODD[name]


def test_the_words_of_a_bar_below_zero_do_not_lie_on_it():
    (axes,) = charts.comparison([Bar("ours", -3.0, None, "ours"), Bar("other", 1.0, None, "baseline")], NATS).axes
    assert {text.get_text(): text.xy[0] for text in axes.texts} == {"-3.000": 0.0, "1.000": 1.0}


def test_curves_of_runs_are_told_apart_by_more_than_colour():
    epochs = [{"step": step, "validation_loss": 3.0 - step} for step in (1, 2)]
    (axes,) = charts.validation_curves({f"run {n}": epochs for n in range(8)}, LOSS).axes
    looks = [(line.get_color(), line.get_linestyle()) for line in axes.get_lines()]
    assert len(set(looks)) == 8
    assert axes.get_title(loc="left") == "Validation: nats per token"
    assert axes.get_lines()[3].get_ydata().tolist() == [2.0, 1.0]


def test_comparison_tells_ours_baselines_and_peers_apart_by_more_than_colour():
    figure = charts.comparison(BARS, NATS)
    ours, peer, baseline, _ = figure.axes[0].patches
    assert matplotlib.colors.to_hex(ours.get_facecolor()) == LIGHT["ours"]
    assert len({matplotlib.colors.to_hex(bar.get_facecolor()) for bar in (ours, peer, baseline)}) == 3
    assert [label.get_weight() for label in figure.axes[0].get_yticklabels()] == ["bold"] + 3 * ["normal"]
    assert peer.get_hatch()
    assert not baseline.get_hatch()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "this run",
        "baseline on the same data",
        "peer, measured elsewhere",
    ]


def test_comparison_folds_long_names():
    figure = charts.comparison([Bar("Interpolated Kneser-Ney 7-gram", 1.4, None, "baseline")], NATS)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "Interpolated Kneser-Ney\n7-gram"


def test_comparison_names_only_what_it_shows():
    figure = charts.comparison(BARS[1:], NATS)
    assert len(figure.legends[0].get_texts()) == 2


def test_training_curves_draw_the_records(history):
    figure = charts.training_curves(history, {"model": 1.0}, LOSS)
    loss, norm, rate = figure.axes
    np.testing.assert_array_equal(lines(loss)["training"].get_xydata(), [[5, 4], [10, 3], [15, 2], [20, 1]])
    np.testing.assert_array_equal(lines(loss)["validation"].get_xydata(), [[10, 3.5], [20, 2.5]])
    assert [text.get_text() for text in loss.texts] == ["best 2.500"]
    assert loss.get_title(loc="left") == "Loss in nats per token"
    assert norm.get_yscale() == "log"
    np.testing.assert_array_equal(lines(norm)["mean"].get_ydata(), [0.5] * 4)
    np.testing.assert_allclose(rate.get_lines()[0].get_ydata(), [1e-3, 2e-3, 3e-3, 4e-3])
    assert rate.get_xlabel() == "step"


def test_training_curves_mark_the_clipped_steps_and_the_threshold(history):
    norm = charts.training_curves(history, {"model": 1.0}, LOSS).axes[1]
    assert legend(norm) == ["up to the largest", "mean", "clip norm, 1", "clipped (5.0% of steps)"]
    np.testing.assert_array_equal(lines(norm)["clip norm, 1"].get_ydata(), [1.0, 1.0])
    np.testing.assert_array_equal(lines(norm)["clipped (5.0% of steps)"].get_xydata(), [[10, 3.0]])


def test_several_optimizers_are_told_apart(history):
    steps = [record for record in history if record["event"] == "step"]
    both = []
    for record in steps:
        own = {name: record[name] for name in ("event", "step", "seconds", "units_per_second")}
        figures_of = {name: value for name, value in record.items() if name not in own}
        both.append(
            own | {f"{who}_{name}": value for who in ("generator", "critic") for name, value in figures_of.items()}
        )
    metric = Metric("accuracy", "share told rightly", ".2f", better="more")
    epochs = [{"event": "epoch", "step": 20, "seconds": 240.0, "validation_accuracy": 0.75}]
    figure = charts.training_curves([*both, *epochs], {"generator": 1.0, "critic": 2.0}, metric)
    validation, loss, norm, rate = figure.axes
    assert validation.get_title(loc="left") == "Validation: share told rightly"
    assert [text.get_text() for text in validation.texts] == ["best 0.75"]
    assert loss.get_title(loc="left") == "Loss"
    assert legend(loss) == ["generator", "critic"]
    assert legend(norm) == [
        "generator",
        "generator clipped (5.0% of steps)",
        "critic",
        "critic clipped (5.0% of steps)",
    ]
    assert len(rate.get_lines()) == 2


def test_where_more_is_better_the_most_is_on_top():
    metric = Metric("accuracy", "share right", ".1%", better="more")
    (axes,) = charts.comparison([Bar("a", 0.25, None, "baseline"), Bar("b", 0.75, 1.0, "ours")], metric).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert axes.get_xlabel() == "share right (more is better)"
    assert [text.get_text() for text in axes.texts] == ["75.0%  1.0 min", "25.0%"]


def test_epoch_curves_draw_each_key():
    epochs = [{"step": 5, "a": 1.0, "b": 3}, {"step": 10, "a": 0.5, "b": 4}]
    figure = charts.epoch_curves(epochs, [Panel("a", "A falls"), Panel("b", "B of 5", 5)])
    first, second = figure.axes
    np.testing.assert_array_equal(first.get_lines()[0].get_xydata(), [[5, 1], [10, 0.5]])
    np.testing.assert_array_equal(second.get_lines()[0].get_ydata(), [3, 4])
    assert second.get_ylim() == (0, 5.5)
    assert [axes.get_title() or axes.get_title(loc="left") for axes in (first, second)] == ["A falls", "B of 5"]


def test_minutes_stand_where_they_had_passed(history):
    figure = charts.training_curves(history, {"model": 1.0}, LOSS)
    (below,) = figure.axes[2].child_axes
    assert below.get_xlabel() == "minutes of training"
    labels = [float(label.get_text()) for label in below.get_xticklabels()]
    np.testing.assert_allclose(below.get_xticks(), [5 * minute for minute in labels])
    assert labels[0] == 0
    assert labels[-1] == 4


def test_a_run_too_short_for_one_kind_of_record_can_be_drawn(history):
    for kind, curves in [("step", ["training"]), ("epoch", ["training", "validation"])]:
        records = [record for record in history if record["event"] == kind]
        figure = charts.training_curves(records, {"model": 1.0}, LOSS)
        figure.savefig(io.BytesIO(), format="svg")
        assert legend(figure.axes[0]) == curves


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match=r"`history`.*none"):
        charts.training_curves([], {"model": 1.0}, LOSS)
    with pytest.raises(ValueError, match=r"`bars`.*none"):
        charts.comparison([], NATS)


def test_the_users_matplotlib_is_left_alone(history):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 40.0, "axes.facecolor": "red"}):
        figure = charts.training_curves(history, {"model": 1.0}, LOSS)
        assert matplotlib.rcParams["font.size"] == 40.0
    assert figure.axes[0].title.get_fontsize() < 20
    assert figure.axes[0].get_facecolor()[3] == 0
    assert dict(matplotlib.rcParams) == before


def test_pyplot_stays_out():
    # pyplot picks a backend and keeps every figure alive until it is closed.
    code = (
        "import sys, ikelos.pipelines.report.page, ikelos.pipelines.report.charts; "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
