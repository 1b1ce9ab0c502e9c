"""The tasks, one folder each, with `config.py` (the typed recipe) and `task.py` (the class `Task`)."""
