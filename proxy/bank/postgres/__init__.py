"""The bank's and the control room's tables in PostgreSQL, shared by any number of machines."""
