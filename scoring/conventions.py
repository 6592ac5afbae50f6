"""Numbers that several files share: the usual level of confidence, and numbers of runs a side."""

LEVEL = 0.95  # of intervals, bounds and comparisons, unless another is asked for
COMPETITION_RUNS = 512
LEAST_RUNS = 8  # with fewer no spread over runs means anything, nor does a ceiling: halves of 3 runs have two bins
LEAST_READABLE = 32  # with fewer there are few bins, and doing nothing can score well; F is not projected from fewer
