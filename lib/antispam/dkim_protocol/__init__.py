"""DKIM as the RFCs have it: verifying and signing, without milters, settings, or look-ups and clocks of its own."""

from antispam.dkim_protocol.private_keys import PrivateKey, UnusablePrivateKey, load_private_key, parse_private_key
from antispam.dkim_protocol.records import DkimResult, SignatureResult, foremost
from antispam.dkim_protocol.sign import SEALED, SIGNED_IF_PRESENT, Signer, SigningPolicy, sign
from antispam.dkim_protocol.verify import KeyLookup, KeyLookupFailed, Limits, Verification, verify

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
    "load_private_key",
    "parse_private_key",
    "sign",
    "verify",
]
