"""What can be told from the logs of adversarial training."""

from ikelos.pipelines.training.history import Record

_WON = 0.98
"""Share of validation images, and of generated ones, that a discriminator tells rightly which has won."""
_COLLAPSED = 0.2
"""Diversity of the samples of a generator that has collapsed; that of the images is 1."""


def trouble(record: Record) -> str | None:
    """What is wrong with adversarial training, and what to do about it, by an epoch's record; None if nothing is.

    Args:
        record: With the validation metrics of `ikelos.layers.AdversarialModel`.
    """
    real, fake = record["validation_real_accuracy"], record["validation_fake_accuracy"]
    diversity = record["validation_diversity"]
    if diversity < _COLLAPSED:
        return (
            f"the generator has collapsed: its samples differ from each other only {diversity:.2f} times as much as "
            "real images do. Raise model.r1 or the batch size, or lower both learning rates"
        )
    if min(real, fake) > _WON:
        return (
            f"the discriminator has won: it tells {real:.1%} of the validation images and {fake:.1%} of the generated "
            "ones rightly, so that the generator learns nothing more from it. Lower "
            "training.optimizers.discriminator.learning_rate, raise model.r1, or let model.augmentation change more"
        )
    return None
