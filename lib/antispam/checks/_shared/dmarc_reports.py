"""[dmarc_reports]: aggregate reports to domains that ask for them."""

from __future__ import annotations

from antispam.net.addresses import check_address, host_list
from antispam.settings import option, section


@section("dmarc_reports")
class DmarcReportSettings:
    """[dmarc_reports]: aggregate reports of DMARC, RFC 9990; `bms dmarc report` sends them once a day (docs/dmarc.md)."""

    send: bool = option(
        False, "note what DMARC finds for each message, and report it to the domains that ask for it in their records"
    )
    sender: str = option(
        "",
        "the address that sends the reports: dmarc@example.com. Its domain must have a key in [dkim_sign]",
        check=check_address,
    )
    organization: str = option("", "how we call ourselves in the reports; empty is the domain of `sender`")
    contact: str = option("", "further contact details in the reports: a web page, a phone number")
    never: tuple[str, ...] = option((), "domains that get no reports: example.net, *.example.org", check=host_list)

    def __post_init__(self) -> None:
        if self.send and not self.sender:
            raise ValueError("[dmarc_reports] send needs [dmarc_reports] sender: who sends the reports?")
