"""The program as its operator sees it: real processes, real signals, real files."""
