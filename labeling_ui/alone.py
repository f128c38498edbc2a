"""One server for a study: how often somebody may try to log in, and what is being written to them, lies in its process.

The store itself would bear two. That one serves is held by a lock of the operating system on a file in the workspace,
which goes with its process, in whatever way that ends; servers of one database that have different workspaces do not
see each other.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rewardkit.errors import ConfigError, OutputError
from rewardkit.runs import make_folder
from rewardkit.types import content_id


@contextmanager
def alone(workspace: Path, study: str) -> Iterator[Callable[[str], None]]:
    """Be the only server of a study of a workspace while the block runs.

    Args:
        workspace: Its folder.
        study: The study's name.

    Yields:
        What is to be told the address once it is known, for others who try.

    Raises:
        ConfigError: Another one serves it.
        OutputError: The file cannot be written or locked.
    """
    path = make_folder(workspace) / f"label-{content_id('study', study)[:12]}.lock"
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise _cannot_lock(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _served(study, path) from error
        except OSError as error:
            raise _cannot_lock(path, error) from error

        def tell(address: str) -> None:
            file.truncate(0)
            file.write(address)
            file.flush()

        # Of the last time: the file stays, as one that is taken away could be locked by two.
        tell("")
        yield tell


def _served(study: str, path: Path) -> ConfigError:
    address = path.read_text(encoding="utf-8")
    return ConfigError(
        f"the study {study!r} is served already{f', at {address}' if address else ': it is just being started'}",
        where=str(path.parent),
        expected="one server for a study and workspace",
        fix="use that one, or stop it first (Ctrl-C, nothing is lost)",
    )


def _cannot_lock(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the file that tells who serves cannot be locked ({error})",
        where=str(path),
        fix="name a workspace on a disk that can be written and locked",
    )
