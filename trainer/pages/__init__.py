"""The model card and the page of a comparison."""
