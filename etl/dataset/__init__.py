"""Write the parts of a dataset and describe them in its manifest."""
