"""The configured keys, whether they sign now or are still waiting."""

from __future__ import annotations

import dataclasses

from antispam.checks._shared.dkim_keys.rotation import Stage
from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.protocols.dkim import Signer

DUE = 183 * 86400.0
"""Seconds that a key should sign for: M3AAWG's advice (DKIM Key Rotation Best Common Practices) is half a year."""


@dataclasses.dataclass(frozen=True, slots=True)
class Configured:
    """A key. If it is in rotation, also its stage, and when that began (seconds since the epoch)."""

    signer: Signer
    stage: Stage | None = None
    since: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether the key has signed for so long that it should be replaced."""
        return self.stage is Stage.SIGNING and self.since is not None and now - self.since > DUE


def configured(settings: SigningSettings) -> list[Configured]:
    """Every key that does not depend on the author: keys with % for domain or file are left out. Raises OSError, and
    ValueError if a file has invalid content.
    """
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
