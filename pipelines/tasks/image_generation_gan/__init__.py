"""Image generation with a generator that is trained against a discriminator."""
