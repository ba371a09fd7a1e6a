"""The vocabulary of the gateway: frozen types and pure functions.

Nothing here awaits, does I/O or knows any other room; every other room speaks in these words.
"""
