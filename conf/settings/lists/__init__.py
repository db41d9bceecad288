"""Parts of the section `score`: which items may be in a list, and where, and the gates."""
