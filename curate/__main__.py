"""``python -m curate``: the command line, where no script is on the path."""

from curate.cli import main

if __name__ == "__main__":
    main()
