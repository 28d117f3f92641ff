"""What `make` runs: set-up, test runners, launcher. Started from the repository's root with ``python -m``."""
