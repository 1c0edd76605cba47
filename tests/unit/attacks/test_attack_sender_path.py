"""A sender's address must not look to us like another one than to the MTA: each form here was accepted by sendmail 8.17 or
Postfix 3.7 as ann@example.org."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.message import envelope_address
from support.effort import in_proportion


@pytest.mark.parametrize(
    "path",
    [
        "<ann@example.org>",
        "ann@example.org",
        "<ann@example.org >",
        "< ann@example.org>",
        "<ann@example.org\t>",
        "<ann @ example . org>",
        "<ann@example.org(x)>",
        "<ann@example.org (x(y)\\))>",
        "<ann@(x)example.org>",
        '<ann@(")example.org>',
        '<(">")ann@example.org>',
        "<ann@example.org(x>",
        "<ann@example.org>(x)",
        "(<bob@other.example>)<ann@example.org>",
        "<<ann@example.org>>",
        "<bob@other.example><ann@example.org>",
        '<"x <y@other.example>" <ann@example.org>>',
        "<@other.example:ann@example.org>",
        "<@other.example,@third.example:ann@example.org>",
        "<group:ann@example.org;>",
        "<ann@example.org;>",
        "<ann@example.org,>",
        "<ann@example.org..>",
        "<ann@example\\.org>",
        '<ann@"example.org">',
        '<ann@ex"am"ple.org>',
        '<"ann@example.org">',
        "<example.org!ann>",
        "<example.org\\!ann>",
        '<"example.org"!ann>',
        "<ann%example.org>",
        "<@other.example:ann%(x)example.org>",
    ],
)
def test_every_disguise_of_a_sender_is_seen_through(path):
    assert envelope_address(path) == "ann@example.org"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<>", ""),
        ("<postmaster>", "postmaster"),
        ('<"a b"@example.org>', '"a b"@example.org'),
        ('<"bob@other.example"@example.org>', '"bob@other.example"@example.org'),
        ("<ann%example.org@relay.example>", "ann%example.org@relay.example"),
        ("<other.example!ann@example.org>", "other.example!ann@example.org"),
        ("<ann@[192.0.2.1]>", "ann@[192.0.2.1]"),
        ("<ann@[IPv6:2001:db8::1]>", "ann@[IPv6:2001:db8::1]"),
        ("<ann@example.org><bob@other.example>", "bob@other.example"),
    ],
)
def test_what_is_no_disguise_stays(path, address):
    assert envelope_address(path) == address


@given(st.text(alphabet='ab@.<>()[]"\\:;,!% \t\n\x00é\udcff', max_size=60))
def test_any_path_can_be_read(path):
    assert isinstance(envelope_address(path), str)


@pytest.mark.parametrize("unit", ["(", ")", '"', "[", "\\", "<", ">", "@ ", "a!%", '\\"', "(\\", '"\\'])
def test_a_long_path_takes_linear_time(unit):
    assert in_proportion(envelope_address, lambda count: unit * count, 200_000 // len(unit))
