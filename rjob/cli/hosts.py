"""The verbs about settings: hosts, config."""

from rjob import nodesets
from rjob.cli import output
from rjob.cli.client import config as settings
from rjob.cli.options import Verb, verbs
from rjob.cli.table import table
from rjob.config import Config
from rjob.errors import RjobError

app = verbs()


@app.command(cls=Verb)
def hosts() -> None:
    """Show the hosts and groups of the settings file."""
    config = settings()
    named = [[name, _address(config, name)] for name in config.host_names]
    groups = [[f"@{name}", nodesets.fold(config.hosts([f"@{name}"]))] for name in config.group_names]
    if not named and not groups:
        output.note(f"no hosts in {config.path}; any host that ssh knows can be used all the same")
    if named:
        output.data(table(("Host", "Target"), named))
    if groups:
        output.data(("\n" if named else "") + table(("Group", "Hosts"), groups))


@app.command(cls=Verb)
def config() -> None:
    """Show every setting and where it comes from."""
    rows = [[setting.key, _text(setting.value), setting.source] for setting in settings().explain()]
    output.data(table(("Key", "Value", "Source"), rows))


def _address(config: Config, name: str) -> str:
    """Return a host's target as a URL; the error message if it has none."""
    try:
        target, _ = config.target(name)
    except RjobError as error:
        return error.message
    if target.host is None:
        return f"{target.scheme}:{target.path}"
    user = f"{target.user}@" if target.user else ""
    host = f"[{target.host}]" if ":" in target.host else target.host
    port = f":{target.port}" if target.port else ""
    return f"{target.scheme}://{user}{host}{port}{target.path}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
