"""The doors: HTTP in, HTTP out, over one exchange."""
