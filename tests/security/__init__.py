"""The security requirements, each by its number: what an attacker tries, and what is left of it."""
