"""Choose and order the places of a list out of more candidates than it has places."""
