"""Data, tasks, training, evaluation, reports and the command line."""
