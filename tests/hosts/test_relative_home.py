"""A host's ``home`` that is relative to the home directory there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hosts.host import Hosts
    from world import World


def test_every_verb_finds_it(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu")
    hosts.know("gpu", home="work/jobs of mine")
    ref = rjob.start("-H", "gpu", "-c", "echo x")
    rjob("wait", ref)
    assert rjob("receive", ref).out == b"x\n"
    assert rjob("receive", ref).out == b""
    running = rjob.start("-H", "gpu", "sleep", "600")
    rjob("stop", running)
    assert rjob.job(running)["state"] == "Stopped"
    rjob("remove", ref, running)
    assert rjob("get", "-H", "gpu", "--all", "-q").text == ""
    assert (host.home / "work" / "jobs of mine" / "runner").is_dir()
