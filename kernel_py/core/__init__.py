"""The kernel: sans-IO, synchronous, deterministic. Owns every reference and routes every message."""
