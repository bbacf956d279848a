"""Benchmarks in one shape: `./stepwell bench NAME [--json FILE] [--check]`."""
