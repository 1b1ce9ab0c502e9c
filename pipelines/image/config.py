"""Sections of recipes of image tasks. Imports nothing heavy."""

from ikelos.pipelines.data.config import Source


class ImageSource(Source):
    """Images, with or without classes.

    Attributes:
        image_feature: the feature that holds the image; of no meaning for image files.
        label_feature: the feature that holds the class (of image files: any name, and their folder's name is the
            class); null for images without classes.
    """

    image_feature: str = "image"
    label_feature: str | None = "label"
