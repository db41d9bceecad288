"""The parts of HTML pages: template, blocks, charts and texts; independent of data and models."""
