"""How long a recording is, read from its container. Pure functions over bytes that are looked at in place."""
