"""Ray, shares of the work among its workers, and what the machine can do."""
