"""HTML pages: the model card and the comparison of models."""
