"""Opens what somebody without our key may have put into a registry."""

import errno
import io
import os
import stat
from pathlib import Path

from stepwell.base.errors import DataLossError


def open_regular(path: Path) -> io.BufferedReader:
    """Returns the file, open to be read; never waits for what is none.

    Raises:
        DataLossError: a link, a folder, a pipe or a device lies there.
        FileNotFoundError: nothing does.
    """
    # Without O_NONBLOCK a pipe would be waited for until somebody writes into it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataLossError(f"{path} is a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataLossError(f"{path} is not a regular file")
    return os.fdopen(descriptor, "rb")
