"""This program and what it needs, as one file that Spark hands to its executors."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("children", "engine", "sources")
LEFT_OUT = {"tests", "include", "__pycache__"}
# What is loaded where a part is done; a tunnel's library and MySQL's quick one when they are asked.
_LOADED = """
import contextlib, json, sys
import engine.serving, engine.launchers.executor, paramiko
with contextlib.suppress(ImportError):
    import MySQLdb
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def make(path: Path) -> list[str]:
    """Write the archive; return the distributions in it, as name==version.

    It fits executors of this system, processor and minor version of Python.
    """
    found = _distributions()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for package in PACKAGES:
            for file in sorted((ROOT / package).rglob("*.py")):
                _add(archive, file, file.relative_to(ROOT))
        for each in found:
            for file, name in _files(each):
                _add(archive, file, name)
    return [f"{each.name}=={each.version}" for each in found]


def _distributions() -> list[importlib.metadata.Distribution]:
    """Return those of which something is loaded where a part is done."""
    said = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, check=True, text=True
    )
    of_module = importlib.metadata.packages_distributions()
    loaded = json.loads(said.stdout)
    names = {name for module in loaded for name in of_module.get(module, ())}
    return [importlib.metadata.distribution(name) for name in sorted(names)]


def _files(distribution: importlib.metadata.Distribution) -> Iterator[tuple[Path, Path]]:
    for file in distribution.files or ():
        if ".." not in file.parts:
            yield Path(str(file.locate())), Path(*file.parts)


def _add(archive: zipfile.ZipFile, file: Path, name: Path) -> None:
    if LEFT_OUT.isdisjoint(name.parts) and file.is_file():
        archive.write(file, name)
