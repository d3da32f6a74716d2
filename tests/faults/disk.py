"""A small file system for an episode, which can be filled."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def can_mount() -> bool:
    """Tell whether this user may mount file systems."""
    return os.geteuid() == 0


class Disk:
    """A file system in memory.

    Args:
        folder: The mount point; it is created.
        size: Its size in KiB.
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
            spare: The number of bytes to free again, so that some writes succeed.
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
        """Remove what filled it."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; if it stays busy, detach it until its last file is closed."""
        for _ in range(20):
            if subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
