"""Headrace: a streaming gateway for large language models, on Trio."""

__version__ = "0.1.0"
