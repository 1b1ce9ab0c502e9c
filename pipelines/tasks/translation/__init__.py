"""Translation: writing the text that belongs to another one, such as its translation."""
