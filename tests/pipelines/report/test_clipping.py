import numpy as np

from ikelos.pipelines.report import clipping


def test_the_section_compares_losses_and_norms():
    def records(loss):
        epoch = {"event": "epoch", "step": 2, "validation_loss": 1.0}
        return [*({"event": "step", "step": at, "loss": loss / at, "gradient_norm_max": 9.0} for at in (1, 2)), epoch]

    found = clipping.section({"clipped": records(3.0), "not clipped": records(5.0)}, 1.0, "nats", "A network.")
    assert found.prose == ["A network."]
    assert found.alt == "Loss at the last record: clipped 1.50, not clipped 2.50"
    loss, norm = found.figure.axes
    assert loss.get_title(loc="left") == "Loss in nats"
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [5.0, 2.5])
    np.testing.assert_array_equal(norm.lines[-1].get_ydata(), [1.0, 1.0])  # the clip norm


def test_a_training_that_ended_before_its_first_record_has_no_words():
    step = {"event": "step", "step": 1, "loss": 2.0, "gradient_norm_max": 9.0}
    assert clipping.section({"a": [step], "b": []}, 1.0, "nats", "").alt == "Loss at the last record: a 2.00"
