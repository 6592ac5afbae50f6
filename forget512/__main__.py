"""`python -m forget512`: the command line."""

from forget512.harness.cli.main import main

if __name__ == "__main__":
    main()
