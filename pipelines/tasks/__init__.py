"""The tasks: each a folder with `config.py` (its typed recipe) and `task.py` (its functions)."""
