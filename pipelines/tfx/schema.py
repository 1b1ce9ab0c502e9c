"""Proposes a schema from a recipe's examples."""
