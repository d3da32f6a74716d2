"""The program's entry point: ``rjob`` and ``python -m rjob``."""

import gc
import os

# Objects made at start-up are not garbage, and scanning them repeatedly takes a tenth of a short verb's time.
_OBJECTS = 200_000


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_OBJECTS)
    try:
        from rjob.cli.app import main as run

        status = run()
    except KeyboardInterrupt:
        status = 130
    # Skip the interpreter's shutdown: nothing is left to do, and it takes longer than many a verb.
    os._exit(status)


if __name__ == "__main__":
    main()
