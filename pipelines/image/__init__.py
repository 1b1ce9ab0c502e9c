"""Images: reading, preparation, augmentation, parts of networks, signatures, and report sections."""
