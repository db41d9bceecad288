"""Choose a model: advise, compare and tune."""
