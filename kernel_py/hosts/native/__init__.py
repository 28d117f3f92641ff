"""CPython side."""
