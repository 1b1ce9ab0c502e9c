"""Report sections on replies."""

from collections.abc import Mapping, Sequence
from typing import Any

from ikelos.pipelines.evaluation.tfidf import TfIdf
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.sections import Column, Table

_SHOWN_TURNS = 3


def all_figures(metrics: Sequence[Metric], measured: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns the table of all metrics of a model and its baselines by name, of which the first is the model."""
    return Table(
        heading="All figures",
        columns=[Column(""), *(Column(metric.unit, metric.format) for metric in metrics)],
        rows=[[name, *(values.get(metric.name) for metric in metrics)] for name, values in measured.items()],
        highlight=0,
    )


def with_nearest(
    histories: Sequence[str], given: Sequence[str], written: Sequence[str], train: Sequence[str]
) -> list[Table]:
    """Returns the table of the first replies with the training turns that are nearest to them; none without replies.

    Args:
        histories: Histories, with line ends between turns.
        given: The replies that were given.
        written: The replies that a model wrote, perhaps fewer.
        train: All turns of the training split.
    """
    if not written:
        return []
    nearest, cosines = TfIdf(train).nearest(written)
    last = ["\n".join(history.split("\n")[-_SHOWN_TURNS:]) for history in histories]
    columns = [Column(title) for title in ("Last turns", "Reply given", "Model", "Nearest training turn")]
    found = zip(last, given, written, (train[place] for place in nearest), cosines.tolist(), strict=False)
    return [
        Table(
            heading="Replies",
            prose=["Not selected. The nearest training turn has the largest cosine of TF-IDF vectors: 1 is a copy."],
            columns=[*columns, Column("Cosine", ".2f")],
            rows=[list(row) for row in found],
        )
    ]
