"""DKIM as defined by the RFCs: verifying and signing, without milters, settings, and its own look-ups and clocks."""

from antispam.protocols.dkim.private_keys import PrivateKey, UnusablePrivateKey, parse_private_key
from antispam.protocols.dkim.records import DkimResult, SignatureResult, foremost
from antispam.protocols.dkim.sign import SEALED, SIGNED_IF_PRESENT, Signer, SigningPolicy, sign
from antispam.protocols.dkim.verify import KeyLookup, KeyLookupFailed, Limits, Verification, verify

__all__ = [
    "SEALED",
    "SIGNED_IF_PRESENT",
    "DkimResult",
    "KeyLookup",
    "KeyLookupFailed",
    "Limits",
    "PrivateKey",
    "SignatureResult",
    "Signer",
    "SigningPolicy",
    "UnusablePrivateKey",
    "Verification",
    "foremost",
    "parse_private_key",
    "sign",
    "verify",
]
