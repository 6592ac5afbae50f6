"""Makes and keeps run records: benchmarks, actors, banks, evaluations."""
