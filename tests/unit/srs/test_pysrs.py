"""Our addresses and pysrs's, each verified by the other: pysrs as it comes from PyPI, in a process of its own.

pysrs 1.0.3 calls base64.encodestring, which Python 3.9 removed: it gets that name back, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import SES
import SRS
from support.sources import unpacked_sdist

SECRET = "shhhh!"
SENDERS = ["ann@example.org", "Ann.Miller@Mail.Example.ORG", "a=b+c-d@x.example", '"ann smith"@example.org']
_CHILD = """
import base64, json, sys
base64.encodestring = base64.encodebytes
import SES, SRS
calls = json.load(sys.stdin)
srs, ses = SRS.new(secret=calls["secret"], hashlength=calls["hashlength"]), SES.new(secret=calls["secret"], expiration=10)
answers = []
for name, *arguments in calls["calls"]:
    try:
        answers.append(getattr(ses if name.startswith("ses_") else srs, name.removeprefix("ses_"))(*arguments))
    except Exception as error:
        answers.append(type(error).__name__)
json.dump(answers, sys.stdout)
"""


def pysrs(*calls: tuple[str, ...], hashlength: int = 4):
    """What pysrs answers to calls such as ("forward", "ann@example.org", "f.example"), in their order."""
    folder = unpacked_sdist("pysrs", "1.0.3")
    asked = json.dumps({"secret": SECRET, "hashlength": hashlength, "calls": calls})
    # -P: not the current folder; -S -s would hide the standard library's own packages, -I the folder that is meant.
    run = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD],
        input=asked,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("hashlength", [4, 8])
def test_pysrs_leads_back_what_we_rewrote(hashlength):
    srs = SRS.new(SECRET, hashlength=hashlength)
    once = [srs.forward(sender, "f.example") for sender in SENDERS]
    twice = [srs.forward(address, "g.example") for address in once]
    signed = [srs.sign(sender) for sender in SENDERS]
    answers = pysrs(*(("reverse", one) for one in (*once, *twice, *signed)), hashlength=hashlength)
    assert answers == [*SENDERS, *once, *SENDERS]


@pytest.mark.parametrize("hashlength", [4, 8])
def test_we_lead_back_what_pysrs_rewrote(hashlength):
    srs = SRS.new(SECRET, hashlength=hashlength)
    once = pysrs(*(("forward", sender, "f.example") for sender in SENDERS), hashlength=hashlength)
    twice = pysrs(*(("forward", address, "g.example") for address in once), hashlength=hashlength)
    signed = pysrs(*(("sign", sender) for sender in SENDERS), hashlength=hashlength)
    assert [srs.reverse(one) for one in (*once, *twice, *signed)] == [*SENDERS, *once, *SENDERS]


def test_a_third_forwarder_writes_the_same():
    srs = SRS.new(SECRET)
    two = srs.forward(srs.forward("ann@example.org", "f.example"), "g.example")
    assert pysrs(("forward", two, "h.example")) == [srs.forward(two, "h.example")]


def test_pysrs_refuses_our_address_that_was_changed():
    address = SRS.new(SECRET).forward("ann@example.org", "f.example")
    assert pysrs(("reverse", address.replace("ann", "bob"))) == ["AssertionError"]


def test_signed_envelope_senders_are_verified_by_both():
    signer = SES.new(SECRET)
    ours = signer.sign("Ann@Example.org")
    (theirs,) = pysrs(("ses_sign", "Ann@Example.org"))
    found = signer.verify(theirs)
    (answer,) = pysrs(("ses_verify", ours))
    assert found.address == answer[0] == "Ann@Example.org"
    assert answer[1] == found.timecode
