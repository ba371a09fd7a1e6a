"""Tests of the doors and of who is calling."""
