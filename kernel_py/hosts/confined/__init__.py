"""A Python vat inside a WebAssembly component that imports nothing: what runs in it, and its interface."""
