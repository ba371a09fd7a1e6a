"""Measures any OpenAI-compatible URL: what is asked and when, who asks it, and what came of each request."""
