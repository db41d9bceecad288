"""Time to a quality, compared with RecBole."""
