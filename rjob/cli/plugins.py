"""The verb plugins: show the installed transports."""

from rjob.cli import output
from rjob.cli.options import Verb, verbs
from rjob.cli.table import table

app = verbs()


@app.command(cls=Verb)
def plugins() -> None:
    """Show the transports that are installed.  One that cannot be used tells why."""
    from rjob.plugins import Plugins

    rows = [
        [plugin.scheme, plugin.distribution, plugin.version or "", plugin.origin, plugin.error or ""]
        for plugin in Plugins().listing()
    ]
    output.data(table(("Scheme", "Distribution", "Version", "Origin", "Error"), rows))
