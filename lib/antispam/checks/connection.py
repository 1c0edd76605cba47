"""The class of the client (our own, a relay that accepts mail for us, or another), and facts from its name."""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.net.addresses import IPAddress, client_list, parse_ip
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire
from Milter.dynip import is_dynip

NAME = "connection"
OTHERWISE = (
    "`[milter] internal_connect` and `trusted_relay` say which clients are ours; `[connection] localhost_ptr` says what "
    "a PTR record of localhost leads to."
)
Finding = ConnectionFinding

_IPREV = {"OK": "pass", "FORGED": "fail", "TEMP": "temperror", "FAIL": "permerror"}  # {client_resolve}: RFC 8601 2.7.3


@section("connection")
class Settings(CheckSettings):
    """[connection]: the clients that are ours. The two lists are in [milter], as upstream."""

    internal_connect: tuple[str, ...] = option(
        ("127.*", "::1"),
        "our own clients: addresses, networks (192.168.0.0/16), globs (127.*) and host names (*.example.com). Their mail "
        "is outgoing: it is signed, and neither checked against SPF nor greylisted",
        section="milter",
        check=client_list,
    )
    trusted_relay: tuple[str, ...] = option(
        (),
        "hosts that accept mail for us, such as a backup MX: their mail is neither checked against SPF nor greylisted, "
        "because we do not see the original client. Takes precedence over internal_connect",
        section="milter",
        check=client_list,
    )
    localhost_ptr: Remedy = remedy_option(
        Remedy.REJECT, "a remote client whose PTR record says localhost: ignore, quarantine, tempfail or reject"
    )


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> ConnectionFinding:
    """Host patterns match only names that the MTA confirmed by a forward look-up."""
    settings = services.settings[Settings]
    address = parse_ip(connection.ip)
    if client_list(settings.trusted_relay).match(address, connection.name):
        client = ClientClass.TRUSTED_RELAY
    elif client_list(settings.internal_connect).match(address, connection.name):
        client = ClientClass.INTERNAL
    else:
        client = ClientClass.EXTERNAL
    iprev = _iprev(connection)
    return ConnectionFinding(
        client=client,
        iprev=iprev,
        dynamic=_dynamic(connection, iprev),
        ip=from_wire(connection.ip),
        false_localhost=_claims_localhost(connection.ptr, address),
    )


def _iprev(connection: Connection) -> str:
    """The iprev result from the MTA or, if it reports none, from the names that it gave."""
    if connection.resolve in _IPREV:
        return _IPREV[connection.resolve]
    if connection.name:
        return "pass"
    return "fail" if connection.ptr else "permerror"


def _dynamic(connection: Connection, iprev: str) -> bool:
    """Whether the client looks dynamic. A missing name does; one whose look-up failed temporarily does not."""
    name = connection.name or connection.ptr
    if not name:
        return iprev != "temperror" and bool(connection.ip)
    return is_dynip(name, connection.ip)


def _claims_localhost(ptr: str, address: IPAddress | None) -> bool:
    """Whether a public host claims to be "localhost" or ".": it does so only to get past careless lists of host names."""
    name = ptr.lower()
    loopback = address is None or address.is_loopback
    return not loopback and (name == "." or name.rstrip(".") in ("localhost", "localhost.localdomain"))


def decide(
    finding: ConnectionFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable
) -> Verdict:
    """The class alone decides nothing; other checks act on it."""
    if not finding.false_localhost or finding.client is not ClientClass.EXTERNAL:
        return CONTINUE
    text = (
        f"The reverse DNS (PTR) record of {finding.ip} says localhost, which is wrong.\n"
        "Please ask the administrator of that address to set a proper host name."
    )
    return verdict_for(settings.localhost_ptr, text, f"PTR of {finding.ip} is localhost")


def points(finding: ConnectionFinding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Tests for strangers only: our users' computers may have any address."""
    if finding.client is not ClientClass.EXTERNAL or not finding.ip:
        return ()
    if finding.iprev in ("fail", "permerror"):
        return (Hit("RDNS_NONE", f"The address {finding.ip} has no host name that resolves back to it."),)
    if finding.dynamic:
        return (
            Hit(
                "RDNS_DYNAMIC",
                f"The host name of {finding.ip} looks dynamic, as in a pool of home or office connections.",
            ),
        )
    return ()
