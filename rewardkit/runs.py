"""A run's folder: runs/NAME/STAGE with its outputs, resolved config, input hashes, seed and versions.

A stage is complete when its manifest is there; the manifest is written last, and atomically. Its
fingerprint covers the inputs, the stage's config and the source of the rooms it uses, so that what is
unchanged is skipped and what changed is run again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from rewardkit import __version__
from rewardkit.errors import OutputError, UserError
from rewardkit.extras import version
from rewardkit.types import SCHEMA_VERSION, Record

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REPORTED_PACKAGES = ("torch", "transformers", "peft", "accelerate", "scikit-learn", "numpy", "sqlalchemy")


class Manifest(Record):
    """What a finished stage says about itself.

    Attributes:
        store: Records by kind in the database when a stage that fills it had finished.
    """

    schema_version: int = SCHEMA_VERSION
    stage: str
    fingerprint: str
    inputs: dict[str, str]
    config: dict[str, Any]
    seed: int
    seconds: float
    finished_at: datetime
    versions: dict[str, str]
    summary: dict[str, Any]
    store: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage of one run."""

    path: Path
    stage: str

    @property
    def manifest_path(self) -> Path:
        """Where the manifest stands once the stage is complete."""
        return self.path / "manifest.json"

    def manifest(self) -> Manifest | None:
        """Return the manifest, or None where the stage has not finished."""
        if not self.manifest_path.exists():
            return None
        try:
            return Manifest.model_validate_json(self.manifest_path.read_bytes())
        except ValueError as error:
            raise UserError(
                "the manifest cannot be read", where=str(self.manifest_path), fix="delete this file to run the stage"
            ) from error

    def complete(self, fingerprint: str) -> bool:
        """Tell whether the stage finished with just these inputs, config and code."""
        manifest = self.manifest()
        return manifest is not None and manifest.fingerprint == fingerprint

    @property
    def partial(self) -> Path:
        """Where the stage keeps what an interrupted run may resume from."""
        return self.path / "partial"

    def open(self, fingerprint: str) -> None:
        """Make the folder and mark the stage as not complete; what an other fingerprint left half done is dropped.

        Raises:
            OutputError: The folder cannot be written.
        """
        make_folder(self.path)
        started = self.path / "started"
        if not started.is_file() or started.read_text(encoding="utf-8") != fingerprint:
            shutil.rmtree(self.partial, ignore_errors=True)
            write_text(started, fingerprint)
        self.manifest_path.unlink(missing_ok=True)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the stage complete, and drop what only a resume needed."""
        shutil.rmtree(self.partial, ignore_errors=True)
        write_text(self.manifest_path, manifest.model_dump_json(indent=2))


def make_folder(path: Path) -> Path:
    """Make a folder and its parents.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when all of it is written.

    Raises:
        OutputError: The place cannot be written.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = draft.open("wb")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        # Whoever fills the file may read others meanwhile: only what concerns this place is its fault.
        if error.errno in FULL or error.filename == str(draft):
            raise _cannot_write(path, error) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, atomically."""
    with atomic_writer(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def fingerprint(inputs: Mapping[str, str], config: Mapping[str, Any], rooms: Iterable[str], seed: int) -> str:
    """Hash what a stage depends on.

    Args:
        inputs: Name and hash of each input.
        config: The stage's resolved config.
        rooms: Names of rewardkit's modules and packages whose source the stage runs.
        seed: The job's seed.
    """
    parts = {"inputs": dict(inputs), "config": dict(config), "code": source_hash(rooms), "seed": seed}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def source_hash(rooms: Iterable[str]) -> str:
    """Hash the source of rooms, so that a stage whose code changed is run again."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for room in sorted(rooms):
        place = root / room
        files = sorted(place.rglob("*")) if place.is_dir() else [root / f"{room}.py"]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(root)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            name = file.relative_to(path) if file != path else file.name
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as handle:
                while chunk := handle.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    found = {"rewardkit": __version__, "python": platform.python_version()}
    found.update({name: number for name in REPORTED_PACKAGES if (number := version(name))})
    return found


def now() -> datetime:
    """Return the present time, in UTC."""
    return datetime.now(UTC)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written ({error.strerror})", where=str(path), fix="choose a place that you may write to"
    )
