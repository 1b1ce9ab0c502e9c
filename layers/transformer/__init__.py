"""Layers of the family `transformer`."""
