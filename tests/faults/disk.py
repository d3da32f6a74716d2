"""A small file system of an episode's own, which can be filled."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def can_mount() -> bool:
    """Whether this user may mount file systems."""
    return os.geteuid() == 0


class Disk:
    """A file system in memory.

    Args:
        folder: Where to mount it; it is created.
        size: How much it holds, in KiB.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = f"size={size}k,mode=0700,nosuid,nodev"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rjob-faults", str(folder)], check=True)

    def fill(self, spare: int = 0) -> None:
        """Write until nothing more fits.

        Args:
            spare: How many bytes to give back, so that some writes still succeed.
        """
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
            for block in (65536, 4096, 1):
                try:
                    while True:
                        os.write(descriptor, bytes(block))
                except OSError:
                    continue
            if spare:
                os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - spare))
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Take away what filled it."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, now or when the last file in it is closed."""
        for _ in range(20):
            if subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
