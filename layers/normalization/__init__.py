"""Layers of the family `normalization`."""
