"""The constants of libmilter that a milter needs, under the names that pymilter gives them."""

from __future__ import annotations

from typing import Final

from _libmilter import lib

__all__ = [
    "ACCEPT",
    "ADDHDRS",
    "ADDRCPT",
    "ADDRCPT_PAR",
    "ALL_OPTS",
    "CHGBODY",
    "CHGFROM",
    "CHGHDRS",
    "CHUNK_SIZE",
    "CONTINUE",
    "CURR_ACTS",
    "CURR_PROT",
    "DELRCPT",
    "DISCARD",
    "FAILURE",
    "MAX_DATA_SIZE",
    "MODBODY",
    "M_CONNECT",
    "M_DATA",
    "M_ENVFROM",
    "M_ENVRCPT",
    "M_EOH",
    "M_EOM",
    "M_HELO",
    "NONE",
    "NOREPLY",
    "PROT_VERSION",
    "P_HDR_LEADSPC",
    "P_MDS_1M",
    "P_MDS_256K",
    "P_NOBODY",
    "P_NOCONNECT",
    "P_NODATA",
    "P_NOEOH",
    "P_NOHDRS",
    "P_NOHELO",
    "P_NOHREPL",
    "P_NOMAIL",
    "P_NORCPT",
    "P_NOUNKNOWN",
    "P_NR_BODY",
    "P_NR_CONN",
    "P_NR_DATA",
    "P_NR_EOH",
    "P_NR_HDR",
    "P_NR_HELO",
    "P_NR_MAIL",
    "P_NR_RCPT",
    "P_NR_UNKN",
    "P_RCPT_REJ",
    "P_SKIP",
    "QUARANTINE",
    "REJECT",
    "SETSYMLIST",
    "SKIP",
    "SUCCESS",
    "TEMPFAIL",
    "V1_ACTS",
    "V1_PROT",
    "V2_ACTS",
    "V2_PROT",
    "VERSION",
]  # fmt: skip

# Return values of callbacks
CONTINUE: Final[int] = lib.SMFIS_CONTINUE
REJECT: Final[int] = lib.SMFIS_REJECT
DISCARD: Final[int] = lib.SMFIS_DISCARD
ACCEPT: Final[int] = lib.SMFIS_ACCEPT
TEMPFAIL: Final[int] = lib.SMFIS_TEMPFAIL
NOREPLY: Final[int] = lib.SMFIS_NOREPLY
SKIP: Final[int] = lib.SMFIS_SKIP
ALL_OPTS: Final[int] = lib.SMFIS_ALL_OPTS

# Results of libmilter's functions, and its version
SUCCESS: Final[int] = lib.MI_SUCCESS
FAILURE: Final[int] = lib.MI_FAILURE
VERSION: Final[int] = lib.SMFI_VERSION
PROT_VERSION: Final[int] = lib.SMFI_PROT_VERSION
CHUNK_SIZE: Final[int] = lib.MILTER_CHUNK_SIZE
MAX_DATA_SIZE: Final[int] = lib.MILTER_MAX_DATA_SIZE

# Actions (set_flags, negotiation)
NONE: Final[int] = lib.SMFIF_NONE
ADDHDRS: Final[int] = lib.SMFIF_ADDHDRS
CHGBODY: Final[int] = lib.SMFIF_CHGBODY
MODBODY: Final[int] = lib.SMFIF_MODBODY
ADDRCPT: Final[int] = lib.SMFIF_ADDRCPT
DELRCPT: Final[int] = lib.SMFIF_DELRCPT
CHGHDRS: Final[int] = lib.SMFIF_CHGHDRS
QUARANTINE: Final[int] = lib.SMFIF_QUARANTINE
CHGFROM: Final[int] = lib.SMFIF_CHGFROM
ADDRCPT_PAR: Final[int] = lib.SMFIF_ADDRCPT_PAR
SETSYMLIST: Final[int] = lib.SMFIF_SETSYMLIST
V1_ACTS: Final[int] = lib.SMFI_V1_ACTS
V2_ACTS: Final[int] = lib.SMFI_V2_ACTS
CURR_ACTS: Final[int] = lib.SMFI_CURR_ACTS

# Steps (negotiation): not wanted, not answered, and other options
P_NOCONNECT: Final[int] = lib.SMFIP_NOCONNECT
P_NOHELO: Final[int] = lib.SMFIP_NOHELO
P_NOMAIL: Final[int] = lib.SMFIP_NOMAIL
P_NORCPT: Final[int] = lib.SMFIP_NORCPT
P_NOBODY: Final[int] = lib.SMFIP_NOBODY
P_NOHDRS: Final[int] = lib.SMFIP_NOHDRS
P_NOEOH: Final[int] = lib.SMFIP_NOEOH
P_NOUNKNOWN: Final[int] = lib.SMFIP_NOUNKNOWN
P_NODATA: Final[int] = lib.SMFIP_NODATA
P_NR_CONN: Final[int] = lib.SMFIP_NR_CONN
P_NR_HELO: Final[int] = lib.SMFIP_NR_HELO
P_NR_MAIL: Final[int] = lib.SMFIP_NR_MAIL
P_NR_RCPT: Final[int] = lib.SMFIP_NR_RCPT
P_NR_DATA: Final[int] = lib.SMFIP_NR_DATA
P_NR_UNKN: Final[int] = lib.SMFIP_NR_UNKN
P_NR_HDR: Final[int] = lib.SMFIP_NR_HDR
P_NOHREPL: Final[int] = lib.SMFIP_NOHREPL
P_NR_EOH: Final[int] = lib.SMFIP_NR_EOH
P_NR_BODY: Final[int] = lib.SMFIP_NR_BODY
P_SKIP: Final[int] = lib.SMFIP_SKIP
P_RCPT_REJ: Final[int] = lib.SMFIP_RCPT_REJ
P_HDR_LEADSPC: Final[int] = lib.SMFIP_HDR_LEADSPC
P_MDS_256K: Final[int] = lib.SMFIP_MDS_256K
P_MDS_1M: Final[int] = lib.SMFIP_MDS_1M
V1_PROT: Final[int] = lib.SMFI_V1_PROT
V2_PROT: Final[int] = lib.SMFI_V2_PROT
CURR_PROT: Final[int] = lib.SMFI_CURR_PROT

# Stages for setsymlist
M_CONNECT: Final[int] = lib.SMFIM_CONNECT
M_HELO: Final[int] = lib.SMFIM_HELO
M_ENVFROM: Final[int] = lib.SMFIM_ENVFROM
M_ENVRCPT: Final[int] = lib.SMFIM_ENVRCPT
M_DATA: Final[int] = lib.SMFIM_DATA
M_EOM: Final[int] = lib.SMFIM_EOM
M_EOH: Final[int] = lib.SMFIM_EOH
