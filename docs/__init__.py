"""The manual: its pages, and the code that generates two of them and builds the site."""
