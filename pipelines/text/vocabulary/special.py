"""The token ids that every vocabulary keeps for itself."""

PAD = 0
BEGIN = 1
END = 2
UNKNOWN = 3
SPECIAL = 4
"""How many there are: the first id that stands for text."""
