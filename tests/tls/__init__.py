"""TLS for real, towards providers and towards clients."""
