"""Credits, holds and limits: exactly once, never negative, recovered after a crash."""
