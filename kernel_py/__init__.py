"""kernel_py: an object-capability kernel for confined, persistent, asynchronous Python.

Layers, each importing only those below it: ``hosts`` > (``core`` | ``vat``) > ``wire``.
"""
