"""`ImageGeneration`, the methods that all image generation tasks share."""

from typing import Any

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image.preprocessing import ImagePreparation, ImagePreprocessing
from ikelos.pipelines.image.signatures import ImageSignatures


class ImageGeneration:
    """Base of a `Task` whose config has `data.source`, `data.shape`, `model.conditional` and `model.latent_size`."""

    config: Any

    def preparation(self) -> ImagePreparation:
        """Returns the preparation of the images."""
        return ImagePreparation(self.config.data.source, self.config.data.shape)

    def classes(self, preprocessing: ImagePreprocessing) -> tuple[str, ...]:
        """Returns the names of the classes if the model is conditional; otherwise an empty tuple."""
        return preprocessing.class_names if self.config.model.conditional else ()

    def check_preprocessing(self, preprocessing: ImagePreprocessing, trained_with: ImagePreprocessing) -> None:
        """Checks that a conditional model is used with the classes with which it was trained.

        Raises:
            UserError: If the class names differ.
        """
        if self.classes(preprocessing) != self.classes(trained_with):
            raise UserError(
                f"the classes of `data.source` must be those that the model was trained with, "
                f"{', '.join(trained_with.class_names)}. Received: {', '.join(preprocessing.class_names) or 'none'}"
            )

    def image_signatures(self, preprocessing: ImagePreprocessing) -> ImageSignatures:
        """Returns the `ImageSignatures` of the task, which make the signatures of its models."""
        return ImageSignatures(
            self.config.data.shape,
            self.config.model.latent_size,
            self.classes(preprocessing),
            preprocessing.example,
            resize=self.config.data.source.resize,
            max_bytes=self.config.export.max_bytes,
            max_pixels=self.config.export.max_pixels,
        )
