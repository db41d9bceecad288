"""One part of the users: the worker that Ray starts, and the model as it needs it."""
