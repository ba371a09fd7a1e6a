"""Bugs planted on purpose, one at a time, in a copy of the tree: the tests have to catch every one of them.

A test that has never failed has shown nothing. Each plant is a small change to code that decides about money:
what it replaces, by what, what it would do to somebody, and which quick tests are to notice. `make plant`
runs all of them and prints a table; the suite runs a few, and holds that each one's text is still there.
"""
