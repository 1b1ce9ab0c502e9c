"""Training of one stage: optimizer, checkpoints, records, and what happens when something goes wrong."""
