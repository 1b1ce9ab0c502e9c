"""Layers of the family `models`."""
