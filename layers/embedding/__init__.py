"""Layers of the family `embedding`."""
