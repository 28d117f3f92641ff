"""Benchmarks: ``make bench`` measures, prints a table beside the targets, and draws a picture."""
