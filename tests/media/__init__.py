"""Lengths of recordings."""
