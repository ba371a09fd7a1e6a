"""Several processes that are one gateway: a supervisor, one that controls, and those at the edge."""
