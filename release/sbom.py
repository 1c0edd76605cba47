"""The bill of materials of a release, in CycloneDX 1.6: what `pip install -r release/requirements.txt` installs, and the
libraries of the system. It depends on nothing but its arguments, so that the same release has the same one.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import tomllib
import uuid
from pathlib import Path
from typing import Any

_LOCKED = re.compile(r"^([a-z0-9-]+)==([^ \\]+)(?: ; ([^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^    #(?: via|  ) +([a-z0-9-]+)")  # uv's notes of who asks for it, one line each
_PROJECT = "bms-antispam"
_SYSTEM = (
    ("libmilter", "the MTA's protocol; compiled against and loaded from the system", "Sendmail"),
    ("libarchive", "archives in attachments; loaded from the system", "BSD-2-Clause"),
)


@dataclasses.dataclass
class Locked:
    """A package of the lock: where it is installed (a marker of PEP 508, or ""), the digests of its files, and who asks for
    it."""

    name: str
    version: str
    marker: str
    hashes: list[str] = dataclasses.field(default_factory=list)
    via: list[str] = dataclasses.field(default_factory=list)

    @property
    def purl(self) -> str:
        """Its name in package URLs (ECMA-427)."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Locked]:
    """The packages of a file that `uv pip compile --generate-hashes` wrote."""
    packages: list[Locked] = []
    for line in text.splitlines():
        if found := _LOCKED.match(line):
            packages.append(Locked(found[1], found[2], (found[3] or "").strip()))
        elif found := _HASH.search(line):
            packages[-1].hashes.append(found[1])
        elif packages and (found := _VIA.match(line)):
            packages[-1].via.append(found[1])
    return packages


def bill(lock: str, project: dict[str, Any], version: str, epoch: int) -> str:
    """The document. `lock` is the text of requirements.txt, `project` that table of pyproject.toml, `epoch` the time that it
    bears, in seconds since 1970."""
    packages = [package for package in read_lock(lock) if package.marker != "sys_platform == 'win32'"]
    root = f"pkg:pypi/{_PROJECT}@{version}"
    made: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(),
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": _PROJECT,
                "version": version,
                "purl": root,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
            },
        },
        "components": [*map(_component, packages), *_system_libraries()],
        "dependencies": _dependencies(packages, root),
    }
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    made["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}"
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def _component(package: Locked) -> dict[str, Any]:
    made = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{package.version}/",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
            }
        ],
    }
    if package.marker:
        made["properties"] = [{"name": "bms:marker", "value": package.marker}]
    return made


def _system_libraries() -> list[dict[str, Any]]:
    return [
        {
            "type": "library",
            "bom-ref": f"system:{name}",
            "name": name,
            "description": why,
            "licenses": [{"license": {"id": licence}}],
        }
        for name, why, licence in _SYSTEM
    ]


def _dependencies(packages: list[Locked], root: str) -> list[dict[str, Any]]:
    """Who asks for what. A package that is locked twice, for different Pythons, stands for itself twice."""
    wanted: dict[str, set[str]] = {root: {f"system:{name}" for name, _, _ in _SYSTEM}}
    places = {_PROJECT: [root]}
    for package in packages:
        places.setdefault(package.name, []).append(package.purl)
        wanted[package.purl] = set()
    for package in packages:
        for asking in package.via:
            for place in places[asking]:
                wanted[place].add(package.purl)
    return [{"ref": ref, "dependsOn": sorted(needs)} for ref, needs in sorted(wanted.items())]


def write(folder: Path, repository: Path, version: str, epoch: int) -> Path:
    """Write the bill of this release into `folder`."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (repository / "release" / "requirements.txt").read_text(encoding="utf-8")
    path = folder / f"{_PROJECT.replace('-', '_')}-{version}.cdx.json"
    path.write_text(bill(lock, project, version, epoch), encoding="utf-8")
    return path
