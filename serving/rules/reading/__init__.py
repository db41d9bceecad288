"""Read what rules use besides the dataset: fresher tables, lists of items, fields as columns."""
