"""Writes docs/reference/command-line.md from the program itself.

Without arguments it writes the page; with ``--check`` it exits with 1 if the page is not what the program says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from typer.main import get_command

from rjob.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[1] / "reference" / "command-line.md"

_HEAD = """\
# Command line

<!-- Written by docs/_tools/command_line.py from the program: change the help texts there, not this page. -->

References, tables, JSON and jobs' output go to standard output, everything else to standard error. No option but
`-c` takes an empty value. [Exit statuses](exit-statuses.md),
[how a job is named](job-references.md), [durations and times](times.md) and [JSON](json.md) have pages of their own.
"""


def page() -> str:
    """The page's text."""
    root: Any = get_command(app)
    parts = [_HEAD, *_command(root, None, "rjob")]
    return "\n".join(parts).rstrip("\n") + "\n"


def _command(command: Any, parent: Any, path: str) -> Iterator[str]:
    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    yield f"## {path}\n"
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```\n"
    yield _prose(command.help or "") + "\n"
    yield from _table("Argument", [_argument(item, context) for item in _params(command, context, "argument")])
    yield from _table("Option", [_option(item, context) for item in _params(command, context, "option")])
    if command.epilog:
        yield f"```text\n{dedent(command.epilog.partition('Examples:')[2]).strip()}\n```\n"
    for name in getattr(command, "commands", ()):
        yield from _command(command.commands[name], context, f"{path} {name}")


def _params(command: Any, context: Any, kind: str) -> list[Any]:
    return [item for item in command.get_params(context) if item.param_type_name == kind and item.name != "help"]


def _argument(item: Any, context: Any) -> tuple[str, str]:
    return f"`{item.make_metavar(context)}`", item.help or ""


def _option(item: Any, context: Any) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in item.opts)
    if item.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in item.secondary_opts)
    if not item.is_flag:
        names += f" `{item.make_metavar(context)}`"
    help_text = item.help or ""
    # What the help text shows in brackets.
    if item.show_default and item.default not in (None, False) and not item.is_flag:
        help_text += f"  Default: {item.default}."
    if item.multiple:
        help_text += "  May be given several times."
    return names, help_text


def _table(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {title} | |"
    yield "|---|---|"
    for name, text in rows:
        yield f"| {name.replace('|', chr(92) + '|')} | {_prose(text)} |"
    yield ""


def _prose(text: str) -> str:
    """Help text as Markdown: brackets, stars and bars stand for themselves, words of a command line are code."""
    text = " ".join(text.split())
    text = re.sub(r"'([^' ]+)'", r"`\1`", text)
    text = re.sub(r"(?<![\w`])(--?[a-z][a-z-]*|[a-z]+\[[\d-]+\]|@[a-z]+|KEY=VALUE)(?![\w`])", r"`\1`", text)
    return re.sub(r"(?<!`)([*_|<>])(?!`)", r"\\\1", text)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the program says: run python docs/_tools/{Path(__file__).name}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
