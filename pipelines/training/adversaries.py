"""Diagnosis of adversarial training from its records."""

from ikelos.pipelines.training.history import Record

_WON = 0.98
"""A discriminator has won if its accuracies on validation images and on generated ones are both above this."""
_COLLAPSED = 0.2
"""A generator has collapsed if the diversity of its samples is below this; the diversity of real images is 1."""


def trouble(record: Record) -> str | None:
    """Returns a description of the fault of adversarial training, with its remedy; None if there is no fault.

    Args:
        record: An epoch's record with the validation metrics of `ikelos.layers.AdversarialModel`.
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
            f"the discriminator has won: it classifies {real:.1%} of the validation images and {fake:.1%} of the "
            "generated ones correctly, so the generator learns nothing more from it. Lower "
            "training.optimizers.discriminator.learning_rate, raise model.r1, or let model.augmentation change more"
        )
    return None
