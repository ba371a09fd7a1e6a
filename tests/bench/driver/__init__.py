"""The driver of any URL."""
