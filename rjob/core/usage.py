"""Checks of the arguments of the job manager, before anything is sent to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rjob.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.caller import Caller
    from rjob.models import JobSpec


def check_words(words: Sequence[str], what: str, example: str) -> None:
    """Check that an argument is a list of strings; a string in its place would be taken letter by letter.

    Args:
        words: The argument.
        what: The argument's name.
        example: A word, for the hint.

    Raises:
        UsageError: It is not a list of strings.
    """
    if isinstance(words, str | bytes) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{what} is not a list of strings: {_shown(words)}", hint=f'write {what}=["{example}"]')


def check_spec(spec: JobSpec) -> None:
    """Check a job specification's types and name; whether a runner can start the job is checked by the runner.

    Args:
        spec: What to run.

    Raises:
        UsageError: It is malformed.
    """
    from rjob.models import JobSpec

    if not isinstance(spec, JobSpec):
        raise UsageError(f"not a job specification: {_shown(spec)}", hint='write JobSpec(argv=("make",))')
    check_words(spec.argv, "argv", "make")
    for name in ("env", "secrets"):
        pairs = getattr(spec, name)
        if isinstance(pairs, str | bytes) or not all(_is_pair(pair) for pair in pairs):
            # The value is not shown: it may hold a secret.
            raise UsageError(f"{name} is not a list of pairs of strings", hint=f'write {name}=[("KEY", "value")]')
    if spec.name is not None:
        from rjob.references import check_name

        check_name(spec.name)


def secret_values(secrets: Sequence[str] | Mapping[str, str], caller: Caller) -> dict[str, str]:
    """Return the values of the secrets that a caller named.

    Args:
        secrets: Names of the caller's variables, or values by name.
        caller: The caller.

    Raises:
        UsageError: It is neither, or a variable is not set.
    """
    if isinstance(secrets, str | bytes):
        raise UsageError("secrets is not a list of strings", hint='write secrets=["KEY"]')
    if hasattr(secrets, "keys"):
        return dict(secrets)
    check_words(secrets, "secrets", "KEY")
    return {name: caller.variable(name) for name in secrets}


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _shown(value: Any) -> str:
    return repr(value)[:80]
