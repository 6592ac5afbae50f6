"""Everything that makes, keeps and shows runs: candidates, benchmarks, stores, workers, results, commands."""

if __name__ != "forget512.harness":  # a second copy of each class would not be the first one
    raise ImportError("import forget512.harness, not harness: run from a checkout, this folder is a part of forget512.")
