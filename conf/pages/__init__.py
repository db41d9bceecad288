"""The kit of HTML pages: template, blocks, charts and texts. It knows no model and no data."""
