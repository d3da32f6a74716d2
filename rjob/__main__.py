"""``python -m rjob``."""

import sys

from rjob.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
