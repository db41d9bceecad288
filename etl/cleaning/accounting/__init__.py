"""Account for each row: count verdicts, and say what a person should look at."""
