from __future__ import annotations
from tests.runner.conftest import Host
def test_hi(any_host: Host) -> None:
    u = any_host.line("echo hi; echo no >&2; exit 3")
    v = any_host.ended(u)
    assert v.exit_code == 3
    assert any_host.out(u) == b"hi\n"
