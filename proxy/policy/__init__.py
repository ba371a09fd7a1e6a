"""Decisions: where a request goes and what it costs. Pure, no await; time is passed in."""
