"""``python -m costbatch``, for when the command is not on the path."""

from costbatch.cli import main

if __name__ == "__main__":
    main()
