"""The keys that the configuration has, whether they sign now or wait for their turn."""

from __future__ import annotations

import dataclasses

from antispam.checks._shared.dkim_keys.rotation import Stage
from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.protocols.dkim import Signer

DUE = 183 * 86400.0
"""Seconds for which a key should sign: M3AAWG's advice (DKIM Key Rotation Best Common Practices) is half a year."""


@dataclasses.dataclass(frozen=True, slots=True)
class Configured:
    """A key, and of one in rotation its stage and since when it is in it, in seconds since the epoch."""

    signer: Signer
    stage: Stage | None = None
    since: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether it has signed for so long that another one should."""
        return self.stage is Stage.SIGNING and self.since is not None and now - self.since > DUE


def configured(settings: SigningSettings) -> list[Configured]:
    """Every key that can be named without an author: those whose domain or file is %'s are not among them. Raises OSError, and
    ValueError where a file does not hold what it should."""
    rotated, folder = {}, settings.key_folder
    if folder is not None:
        for domain in folder.domains():
            for key in folder.keys(domain):
                if key.stage is not Stage.WITHDRAWN:
                    signer = Signer(domain, key.selector, folder.private_key(domain, key.selector))
                    rotated[signer] = Configured(signer, key.stage, key.since)
    listed = [
        Signer(entry.domain, entry.selector, entry.key)
        for entry in settings.key_table or ()
        if entry.key is not None and entry.domain != "%"
    ]
    every = dict.fromkeys([*settings.signers, *listed, *rotated])
    return [rotated.get(signer) or Configured(signer) for signer in every]
