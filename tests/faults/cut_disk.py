"""A small disk of its own that can lose its power, or be full."""

import ctypes
import fcntl
import functools
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MIB = 1 << 20
_SHUTDOWN_IOCTL = 0x8004587D
"""EXT4_IOC_SHUTDOWN of linux/ext4.h."""
_NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written any more."""
_CLONE_NEWNS = 0x00020000
"""A mount namespace, of linux/sched.h."""


class CutDisk:
    """An ext4 of its own in a file. Concurrency: one thread at a time.

    A cut is the file system's: what it had not written to its device is lost, and
    every later call of a process that has files there fails. It says nothing about a
    device that loses what it has confirmed. The mounts are the calling thread's, and
    of what it starts: no other process of the machine sees them.

    Args:
        image: the file that is the device.
        mount_point: a folder.
    """

    def __init__(self, image: Path, mount_point: Path, size_mib: int = 64) -> None:
        self.mount_point = mount_point
        self._image = image
        with image.open("wb") as file:
            file.truncate(size_mib * _MIB)
        _keep_mounts_to_ourselves()
        _run("mkfs.ext4", "-q", "-F", str(image))
        mount_point.mkdir()

    @contextmanager
    def power(self) -> Iterator[None]:
        """Mounted inside the block, with what survived the last cut."""
        _run("mount", "-o", "loop", str(self._image), str(self.mount_point))
        try:
            yield
        finally:
            _run("umount", str(self.mount_point))

    def cut(self) -> None:
        """Ends everything at once; processes that used it may then only end."""
        folder = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN_IOCTL, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)


@contextmanager
def memory_disk(mount_point: Path, size_bytes: int) -> Iterator[Path]:
    """A file system in memory that takes no more than `size_bytes`."""
    mount_point.mkdir()
    size = f"size={size_bytes},mode=0700"
    _run("mount", "-t", "tmpfs", "-o", size, "stepwell-test", str(mount_point))
    try:
        yield mount_point
    finally:
        _run("umount", str(mount_point))


def why_no_cut_disk(folder: Path) -> str:
    """Returns why this machine cannot mount and cut a disk; "" when it can."""
    try:
        disk = CutDisk(folder / "probe.img", folder / "probe", size_mib=8)
        with disk.power():
            disk.cut()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no ext4 on a loop device here, as root: {_said(error)}"
    return ""


def why_no_memory_disk(folder: Path) -> str:
    """Returns why this machine cannot mount a tmpfs; "" when it can."""
    try:
        with memory_disk(folder / "probe", _MIB):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no tmpfs may be mounted here, as root: {_said(error)}"


@functools.cache
def _keep_mounts_to_ourselves() -> None:
    """Moves this thread to a mount namespace of its own.

    A sandbox that starts beside it would otherwise copy the mount and keep it past its
    `umount`; the next `mount` then finds the file system as the cut has left it.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        errno = ctypes.get_errno()
        raise OSError(errno, f"no mount namespace: {os.strerror(errno)}")
    _run("mount", "--make-rprivate", "/")


def _said(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr).strip()
    return str(error)


def _run(*command: str) -> None:
    # Where root's tools are is not on everybody's path.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    subprocess.run(
        command,
        check=True,
        env={**os.environ, "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
