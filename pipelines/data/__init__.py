"""Data of any kind: where examples come from, in which order they are taken, and whether they are still the same."""
