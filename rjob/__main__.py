"""The program: ``rjob`` and ``python -m rjob``."""

import gc
import os

# What start-up makes is no garbage, and looking through it again and again takes a tenth of a short verb's time.
_OBJECTS = 200_000


def main() -> None:
    """Run the program and leave."""
    gc.set_threshold(_OBJECTS)
    try:
        from rjob.cli.app import main as run

        status = run()
    except KeyboardInterrupt:
        status = 130
    # Nothing is left to do, and taking the modules down one by one takes longer than many a verb.
    os._exit(status)


if __name__ == "__main__":
    main()
