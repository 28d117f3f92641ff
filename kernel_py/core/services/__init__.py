"""Kernel services: powers that a cluster file grants by name, and what it takes to write one.

`kernel_py.core.service_objects` is what joins them to the kernel.
"""
