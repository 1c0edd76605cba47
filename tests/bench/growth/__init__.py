"""The parts of growth_bench.py: a store of any size, what is measured on it, and a picture of that."""
