from ikelos.pipelines.metric import Metric
from ikelos.pipelines.training.progress import Progress

STEP = {"event": "step", "step": 10, "loss": 1.25, "units_per_second": 12_345.6, "seconds": 61.0}
EPOCH = {"event": "epoch", "step": 20, "loss": 1.125, "validation_loss": 0.5, "seconds": 100.0}


def test_the_newest_figures_stand_beside_the_steps_and_an_epoch_has_a_line(capsys):
    progress = Progress("model", "tokens", Metric("loss", "nats"), ["model"], 0, 1500)
    assert progress.text() == "0 of 1,500 steps, time left unknown"
    progress.advance(10)
    progress.show(STEP)
    assert progress.note == "loss 1.2500, 12,346 tokens/s"
    assert capsys.readouterr().out == ""
    progress.show(EPOCH)
    assert progress.note == "loss 1.2500, validation 0.5000, 12,346 tokens/s"
    assert progress.text().startswith("10 of 1,500 steps, loss 1.2500, validation 0.5000, 12,346 tokens/s, ")
    assert capsys.readouterr().out == "model: step 20 of 1,500, loss 1.1250, validation 0.5000, 1 min 40 s so far\n"


def test_several_optimizers_and_another_metric(capsys):
    metric = Metric("accuracy", "share", ".1%", better="more")
    progress = Progress("maker", "images", metric, ["generator", "discriminator"], 30, 60)
    assert capsys.readouterr().out == "maker: continuing after step 30 of 60\n"
    record = {"event": "epoch", "step": 60, "generator_loss": 1.0, "discriminator_loss": 2.0, "seconds": 5.0}
    progress.show(record | {"validation_accuracy": 0.876})
    assert capsys.readouterr().out == (
        "maker: step 60 of 60, generator_loss 1.0000, discriminator_loss 2.0000, validation accuracy 87.6%, "
        "5 s so far\n"
    )
