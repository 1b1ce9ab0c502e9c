"""Sections of recipes of text tasks. Imports nothing heavy."""

from ikelos.pipelines.data.config import Source


class TextSource(Source):
    """Text documents.

    Attributes:
        text_feature: the feature that holds the text; of no meaning for text files.
    """

    text_feature: str = "text"
