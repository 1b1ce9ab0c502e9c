"""The token ids that every vocabulary reserves."""

PAD = 0
BEGIN = 1
END = 2
UNKNOWN = 3
SPECIAL = 4
"""Number of reserved ids, and so the first id that stands for text."""
