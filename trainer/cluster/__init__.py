"""Ray sessions, the split of work among Ray tasks, and the resources of this machine."""
