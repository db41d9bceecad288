"""The best items of each user, exactly, with any kind of model."""
