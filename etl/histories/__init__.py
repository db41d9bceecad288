"""Split the events, number users and items, and write one row a user."""
