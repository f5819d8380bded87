"""The benchmark of rowhook: see benches/run.sh for how to run it, docs/benchmarks.md for what it measures."""
