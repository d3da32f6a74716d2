"""``python -m rjob``."""

from rjob.cli.app import main

if __name__ == "__main__":
    main()
