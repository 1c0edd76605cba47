"""DKIM keys of senders that exist only in tests."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from functools import cache

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa


@cache
def _rsa_key(selector: str, domain: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair: `record` is what DNS says at SELECTOR._domainkey.DOMAIN, `private_pem` what the signer's file holds."""

    selector: str
    domain: str
    algorithm: str
    record: str
    private_pem: str
    _dkimpy_key: bytes

    @classmethod
    def make(cls, selector: str, domain: str, algorithm: str) -> SigningKey:
        """algorithm is "rsa" or "ed25519"; ValueError for others. The same arguments give the same key in one process."""
        private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
        if algorithm == "rsa":
            private = _rsa_key(selector, domain)
            pem = _pem(private, serialization.PrivateFormat.TraditionalOpenSSL)
            public = private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            dkimpy_key = pem
        elif algorithm == "ed25519":
            seed = hashlib.sha256(f"{selector}._domainkey.{domain}".encode()).digest()
            private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            pem = _pem(private, serialization.PrivateFormat.PKCS8)
            public = private.public_key().public_bytes_raw()
            dkimpy_key = base64.b64encode(seed)
        else:
            raise ValueError(f"a key is rsa or ed25519, not {algorithm}")
        record = f"v=DKIM1; k={algorithm}; p={base64.b64encode(public).decode()}"
        return cls(selector, domain, algorithm, record, pem.decode(), dkimpy_key)

    def sign(self, message: bytes, *, length: bool = False) -> bytes:
        """The message with a DKIM-Signature on top; canonicalization relaxed/relaxed. ed25519 needs dkimpy with PyNaCl.

        length  say how much of the body is signed (l=), which leaves open what is appended later
        """
        field = dkim.sign(
            message,
            self.selector.encode(),
            self.domain.encode(),
            self._dkimpy_key,
            canonicalize=(b"relaxed", b"relaxed"),
            signature_algorithm=b"rsa-sha256" if self.algorithm == "rsa" else b"ed25519-sha256",
            length=length,
        )
        return bytes(field) + message

    def seal(self, message: bytes, results: str) -> bytes:
        """The message with an ARC set on top (RFC 8617) that reports `results`, which begin with the name of who saw them. To
        go on with a chain they must say what state it is in: `arc=pass`."""
        reported = f"Authentication-Results: {results}\r\n".encode()
        server = results.partition(";")[0].strip().encode()
        fields = dkim.arc_sign(
            reported + message, self.selector.encode(), self.domain.encode(), self._dkimpy_key, server
        )
        if not fields:
            raise ValueError(f"dkimpy seals nothing for {results!r}")
        return b"".join(fields) + message


def _pem(private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, form: serialization.PrivateFormat) -> bytes:
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
