"""Split the events, number users and items, and collect one history per user."""
