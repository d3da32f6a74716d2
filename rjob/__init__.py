"""Background jobs on any machine, from any shell.

The Python API mirrors the command line: :class:`JobManager` has a coroutine for every verb::

    async with rjob.JobManager() as jobs:
        started = await jobs.start(rjob.JobSpec(argv=("make", "test")), hosts=["gpu"])
        ended = await jobs.wait([job.ref for job in started.jobs])

Names are imported at their first use.
"""

# Type checkers know this name. Importing typing takes several milliseconds, in which Ctrl-C would show a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from rjob.config import Config
    from rjob.core.manager import JobManager
    from rjob.core.options import Position, Query
    from rjob.core.sink import ReaderGone, Sink
    from rjob.errors import RjobError
    from rjob.models import Job, JobSpec, Result, State

__version__ = "0.1.0"

_HOMES = {
    "Config": "rjob.config",
    "Job": "rjob.models",
    "JobManager": "rjob.core.manager",
    "JobSpec": "rjob.models",
    "Position": "rjob.core.options",
    "Query": "rjob.core.options",
    "ReaderGone": "rjob.core.sink",
    "Result": "rjob.models",
    "RjobError": "rjob.errors",
    "Sink": "rjob.core.sink",
    "State": "rjob.models",
}

__all__ = [
    "Config",
    "Job",
    "JobManager",
    "JobSpec",
    "Position",
    "Query",
    "ReaderGone",
    "Result",
    "RjobError",
    "Sink",
    "State",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        value: object = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
