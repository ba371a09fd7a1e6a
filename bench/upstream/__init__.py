"""A scripted provider: answers chat completions as it is told to, and can tell every token it sent."""
