"""Dialogue: replying to a conversation, and finding the reply that was given."""
