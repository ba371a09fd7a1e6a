"""The real OpenAI SDK against a running gateway."""
