"""One episode: a home of its own, two clients, a saboteur, and the checks afterwards."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

import pytest
from faults.aftermath import Aftermath
from faults.client import Client, Shared
from faults.decoy import can_choose_pids
from faults.disk import Disk, can_mount
from faults.invariants import check
from faults.processes import kill_frozen, look_around
from faults.record import Finding, Record
from faults.saboteur import Saboteur
from hosts.host import Hosts
from world import World

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.host import Host

_CALLS = (5, 9)
_CALLS_OF_HOSTS = (3, 6)
_DISK = 6 * 1024


class Episode:
    """A run of two clients beside a saboteur; all but the timing is drawn from its seed.

    Args:
        seed: The seed.
        folder: The folder for its files; it is created.
        main: The kind of its main fault; others may join.
        strict: Whether to skip the test if that fault is impossible here; otherwise processes are killed instead.
    """

    def __init__(self, seed: str, folder: Path, main: str, *, strict: bool = False) -> None:
        self.seed = seed
        self.main = main
        self._strict = strict
        self.record = Record()
        self._random = Random(seed)
        self._folder = folder
        self._disk: Disk | None = None
        self._hosts: Hosts | None = None

    def run(self) -> Record:
        """Run the episode.

        Returns:
            The record of what happened, with its findings.
        """
        self._folder.mkdir(parents=True, mode=0o700)
        world = World(self._folder)
        try:
            self._play(world)
        except Exception as error:
            self.record.add(Finding("the fault run itself", repr(error)))
            raise
        finally:
            (self._folder / "story.txt").write_text(f"{self.seed} {self.main}\n{self.record.story()}\n")
            self._clear_up(world)
        return self.record

    def _play(self, world: World) -> None:
        host = self._make_place(world)
        shared = Shared(world, self.record, host.name if host else "")
        marks = frozenset({f"RJOB_HOME={world.home}".encode(), *([f"HOME={host.home}".encode()] if host else [])})
        home, owner = (host.rjob_home, host.owner) if host else (world.home, world.owner)
        saboteur = Saboteur(
            shared,
            Random(self._random.random()),
            self._kinds(),
            home=home,
            owner=owner,
            marks=marks,
            disk=self._disk,
            host=host,
        )
        clients = [
            Client(name, shared, Random(self._random.random()), redirected=self.main == "streams")
            for name in ("a", "b")
        ]
        calls = [self._random.randint(*(_CALLS_OF_HOSTS if host else _CALLS)) for _ in clients]
        threads = [
            threading.Thread(target=client.work, args=(count,), daemon=True)
            for client, count in zip(clients, calls, strict=True)
        ]
        try:
            saboteur.start()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            saboteur.end()
            check(Aftermath(shared, saboteur, owner=owner, marks=marks, main=self.main))
        finally:
            saboteur.end()
            for decoy in saboteur.decoys:
                decoy.close()
            self._end_all(marks)

    def _kinds(self) -> tuple[str, ...]:
        """Draw the kinds of faults: the main one, and perhaps a second that mixes with it."""
        second = self._random.choice(["", "", "kill", "kill", "step"])
        return (self.main, second) if second and second != self.main else (self.main,)

    def _make_place(self, world: World) -> Host | None:
        if self.main == "disk":
            if can_mount():
                self._disk = Disk(world.home, _DISK)
            else:
                self._kill_instead("full disks", "not applicable: only root can mount one")
        if not can_choose_pids():
            self.record.skipped["reused process ids: only root can choose one"] = 1
        if self.main != "cut":
            return None
        self._hosts = Hosts(world)
        try:
            return self._hosts.add("h1")
        except pytest.skip.Exception as error:
            self._kill_instead("cut connections", str(error))
            return None

    def _kill_instead(self, fault: str, reason: str) -> None:
        """Choose another main fault because this one is impossible here; if the episode is strict, skip the test."""
        if self._strict:
            pytest.skip(reason)
        self.record.skipped[f"{fault}: {reason.removeprefix('not applicable: ')}"] = 1
        self.main = "kill"

    def _end_all(self, marks: frozenset[bytes]) -> None:
        for _ in range(50):
            left = look_around(marks)
            if not left:
                return
            for seen in left:
                kill_frozen(seen.pid, marks)

    def _clear_up(self, world: World) -> None:
        world.close()
        if self._hosts:
            self._hosts.close()
        if self._disk:
            self._disk.close()
