"""The rules that define dangerous content, and the limits per message."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

# Files that Windows runs on a double click: the list that milters have used since 2001, and later additions.
_BANNED = (
    "ade adp asd asx asp bas bat chm cmd com cpl crt dll exe hlp hta inf ins isp js jse lnk mdb mde msc msi msp mst ocx "
    "pcd pif reg scr sct shs url vb vbe vbs wsc wsf wsh ace appref-ms application appx diagcab gadget img iso jar jnlp "
    "library-ms msix ps1 ps1xml ps2 psc1 psc2 scf search-ms settingcontent-ms vhd vhdx website wim ws xll "
    # Later additions: OneNote (a click opens the attachments of a page), Office queries, installers and packages,
    # remote desktops, and what Gmail and Outlook also refuse. Certificates and Python files, which honest people send,
    # are left out.
    "accde accdr apk appcontent-ms appinstaller appxbundle cab cdxml deskthemepack diagcfg diagpack diagpkg dmg dqy ex ex_ "
    "grp hpj iqy its mad maf mag mam maq mar mas mat mau mav maw mcf mda mdt mdw mdz mjs msh msh1 msh1xml msh2 "
    "msh2xml mshxml msixbundle msu nsh one onepkg onetoc onetoc2 ops oqy osd printerexport psd1 psdm1 psm1 pssc "
    "pyw pyz pyzw rdp rqy shb slk sys theme themepack udl vsmacros vsw vxd webpnp xbap xnk"
)
DEFAULT_BANNED = frozenset(_BANNED.split())

# Office file types for macros.
_MACRO = "docm dotm ppa ppam potm ppsm pptm sldm wiz xla xlam xlm xlsb xlsm xltm"
DEFAULT_MACRO = frozenset(_MACRO.split())


class Treatment(enum.StrEnum):
    """The treatment of a file that may be honest."""

    ACCEPT = "accept"
    REPORT = "report"
    BAN = "ban"


class Markup(enum.StrEnum):
    """The treatment of an HTML or SVG file."""

    ACCEPT = "accept"
    CLEAN = "clean"
    BAN = "ban"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for one message. Reaching a limit is a finding."""

    max_parts: int = 2_000
    max_depth: int = 50
    max_embedded: int = 8  # nesting of attached message files
    max_archive_entries: int = 5_000
    max_archive_depth: int = 4
    max_unpacked_bytes: int = 64 << 20
    max_ratio: int = 200
    max_html_bytes: int = 8 << 20
    max_html_tags: int = 250_000


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of an inspection.

    banned, macro_names  extensions in lower case, without the dot
    scan_zip             examine archives of every kind
    html, svg            the treatment of such files; `scan_html` also applies to the text of the mail
    macros               the treatment of documents with macros, recognised by their octets or by `macro_names`
    unreadable           the treatment of archives that cannot be examined
    """

    banned: frozenset[str] = DEFAULT_BANNED
    macro_names: frozenset[str] = DEFAULT_MACRO
    scan_zip: bool = True
    scan_rfc822: bool = True
    scan_html: bool = True
    html: Markup = Markup.CLEAN
    svg: Markup = Markup.CLEAN
    macros: Treatment = Treatment.REPORT
    unreadable: Treatment = Treatment.REPORT
    limits: Limits = field(default_factory=Limits)
