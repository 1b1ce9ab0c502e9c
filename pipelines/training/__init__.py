"""Training of one stage: optimizers, checkpoints, records, and handling of failures."""
