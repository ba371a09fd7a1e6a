"""Tests of what upstreams speak."""
