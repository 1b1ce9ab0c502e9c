"""Layers of the family `recurrent`."""
