"""The same tests, and what machines do together, on PostgreSQL."""
