"""Layers of the family `adversarial`."""
