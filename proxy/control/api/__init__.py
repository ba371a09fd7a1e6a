"""The management API: what a browser that is signed in may ask of the office, over HTTP.

Each module has a family of routes, as rows of a table; a handler is thin, for rules are the office's. What
holds for all of them (who is asking, from where, whether they may) is in `guard`, before any handler.
"""
