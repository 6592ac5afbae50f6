#!/usr/bin/env python3
"""The command line of forget512, in a checkout: `python run_eval.py …` does what `forget512 …` does."""

import sys

from forget512.__main__ import main

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # this folder comes last now: a user's own package `scoring` comes first
    main()
