"""WebAssembly vats: deterministic metering by rewriting a module, and what a module and its host say to each other."""
