"""Layers of the family `position`."""
