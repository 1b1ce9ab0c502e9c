"""Data of any kind: sources of examples, prepared stores, the order of examples, and checks that nothing changed."""
