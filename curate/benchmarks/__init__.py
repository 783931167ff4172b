"""Benchmarks: what they are, how their items are had, and the index of hashes by which documents are held against them."""
