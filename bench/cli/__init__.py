"""The commands that measure any URL, one module each."""
