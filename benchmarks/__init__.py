"""Benchmarks: `make bench`. What is measured and how is in benchmarks/README.md; the figures of a run are printed as a table."""
