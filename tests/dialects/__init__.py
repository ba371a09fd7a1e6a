"""Tests of what clients speak."""
