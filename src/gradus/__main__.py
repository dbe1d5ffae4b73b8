"""``python -m gradus``: the command where its script is not on the path."""

from gradus.cli.main import main

if __name__ == "__main__":
    main()
