"""Compressed JSON columns. The rows of the history share most of their text.

Values are compressed by deflate with a preset dictionary (RFC 1950 section 2.2) of the usual content, and encoded in
base 85, so the column remains text. A value begins with its version; any other beginning is plain JSON, from older
rows.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

_VERSION = "z3"
_SHORT = 40  # characters; shorter JSON is not worth compressing
_LONGEST = 256 << 20  # octets of the largest value after decompression

# Dictionaries must never change: rows were written with them. A better one needs a new version. The most frequent text
# comes last.
_DICTIONARY_1 = b"""\
"quarantine","reject","tempfail","discard","softfail","permerror","temperror","neutral","fail","none","internal","trusted"\
"callback":{"error":"","host":"","told":"","outcome":""},"words":{"error":"","found":[]},"languages":{"error":"","charsets":[]}\
"header_oddities":{"error":"","oddities":[]},"private_relay":{"error":"","relay":""},"known_user":{"error":"","known":true}\
"dspam":{"error":"","user":"","probability":0.0,"confidence":0.0,"signature":"","spam":false},"spam_action":{"error":"",\
"is_spam":false,"action":"deliver"},"greylist":{"error":"","state":"known","wait":0.0,"exempt":"","client":"spf:",\
"attempts":1},"author_domain":{"error":"","domains":[]},"defang":{"error":"","parts":[]},"scrub":{"error":""},\
"archive":{"error":""},"sender_domain":{"error":"","domain":"","exists":true,"null_mx":false},{"check":"greylist","action":"tempfail","code":451,"mode":"enforce","reason":"greylisted"}\
{"check":"dspam","action":"continue","code":0,"mode":"log","reason":"\
{"address":"@example.com","refused":null,"findings":{},"decisions":[]}\
{"greeting":{"error":"","helos":1},"auth":{"error":"","login":"","mechanism":"","sender":"@"},"spf":{"error":"","mailfrom":{\
"result":"pass","identity":"mailfrom","domain":".com","ip":".","mailfrom":"@.com","helo":"mail.","mechanism":"ip4:","problem":"",\
"explanation":"","lookups":0,"lax":null,"guess":null},"helo":null,"helo_confirmed":true,"named":true,"forwarder":"","receiver":"mx."\
},"sender_lists":{"error":"","sender":"@","whitelisted":"","blacklisted":"","banned":""},"reputation":{"error":"","domain":".com",\
"how":"SPF","umis":"","reputation":0.0,"confidence":0.0,"spam":0,"ham":0,"peers":0,"trusted":false},"dkim":{"error":"",\
"signatures":[{"result":"pass","domain":"","selector":"","algorithm":"rsa-sha256","bits":2048,"identity":"","problem":"","author":true}]\
,"skipped":0,"author":"@","practice":""},"dmarc":{"error":"","authors":[{"found":{"domain":".com","result":"none","asked":"none",\
"tag":"","publisher":"","organizational":"","aligned":"","testing":false,"problem":""},"override":null,"because":""}],\
"ambiguous":false,"unreadable":false},"authentication_results":{"error":"","authserv_id":"mx.","aliases":[],"forged":0,"ip":"."},\
"connection":{"error":"","client":"external","iprev":"pass","dynamic":false,"ip":".","false_localhost":false},"banned":{"error":"",\
"ip":"","reason":"","until":null},"helo":{"error":"","name":"mail.","form":"hostname","ip":".","own":["mx."]}}\
[{"check":"connection","action":"continue","code":0,"mode":"enforce","reason":""},{"check":"banned","action":"continue","code":0,\
"mode":"enforce","reason":""},{"check":"helo","action":"continue","code":0,"mode":"enforce","reason":""},{"check":"greeting",\
"action":"continue","code":0,"mode":"enforce","reason":""},{"check":"auth","action":"continue","code":0,"mode":"enforce",\
"reason":""},\
{"check":"spf","action":"continue","code":0,"mode":"enforce","reason":"SPF pass for "},{"check":"sender_lists",\
"action":"continue","code":0,"mode":"enforce","reason":""},{"check":"reputation","action":"continue","code":0,"mode":"enforce",\
"reason":""},{"check":"dkim","action":"continue","code":0,"mode":"enforce","reason":"DKIM pass for "},{"check":"dmarc",\
"action":"continue","code":0,"mode":"enforce","reason":"DMARC pass of "},\
{"check":"authentication_results","action":"continue","code":0,"mode":"enforce","reason":""}]"""
# With the tests of the score.
_DICTIONARY_2 = b"""\
"quarantine","reject","tempfail","discard","softfail","permerror","temperror","neutral","fail","none","internal","trusted"{"\
test":"SPF_FAIL","points":1.5,"evidence":"SPF fail for {"test":"SPF_SOFTFAIL","points":0.8,"evidence":"SPF softfail for {"\
test":"RDNS_NONE","points":1.2,"evidence":"The address {"test":"RDNS_DYNAMIC","points":0.8,"evidence":"\
The host name of  has no host name that leads back to it."} looks like one of a pool of homes or offices."}{"test":"\
HELO_NO_DOMAIN","points":0.8,"evidence":"The client said HELO {"test":"DKIM_INVALID","points":0.5,"evidence":"DKIM fail of {\
"test":"DMARC_NONE","points":1.2,"evidence":"DMARC fail of {"test":"KNOWN_CORRESPONDENT","points":-5.0,"evidence":"\
The sender {"test":"REPUTATION_BAD","points":{"test":"REPUTATION_GOOD","points":-{"test":"BAYES_SPAM","points":9.0,"\
evidence":"{"test":"BAYES_HAM","points":-3.0,"evidence":"\
The dictionary of site holds it for spam with a probability of 0.00 reputation , confidence ( spam, ham).BAYES_HAM=-3,\
 BAYES_SPAM="words":{"error":"","where":"subject","word":"","text":""},"languages":{"error":"","text":"","scripts":[],"\
share":0,"charset":"","mixed":""},"private_relay":{"error":"","relay":""},"known_user":{"error":"","known":true},"dspam":{"\
error":"","opinions":[{"dictionary":"site","users":[""],"probability":0.5,"is_spam":false,"spam":0,"ham":0,"author_spam":0,"\
author_ham":0,"lent":"","own_part":1.0}],"authenticated":true,"whitelisted":false,"honeypot":false,"too_large":false},"\
archive":{"error":""},"greylist_suspicious":{"error":"","because":"nothing proves who the client is","client":"spf:","state"\
:"known","wait":0.0},"sender_domain":{"error":"","fault":null,"sender":"","ip":"","login":""},"scrub":{"error":""},"\
author_domain":{"error":"",{"check":"greylist_suspicious","action":"tempfail","code":451,"mode":"enforce","reason":"\
new triplet for , 300 s left; score {"check":"dspam","action":"continue","code":0,"mode":"enforce","reason":"not spam,\
 probability 0.00 (site)"},{"test":"MISSING_DATE","points":1.0,"evidence":"It has no Date field."},{"test":"MISSING_MID","\
points":0.8,"evidence":"It has no Message-ID field."},{"test":"SPF_NONE","points":0.3,"evidence":"SPF none for ,\
 asked about ."},{"test":"DKIM_NONE","points":0.2,"evidence":"The message is not signed."},{"test":"DMARC_MISSING","points"\
:0.2,"evidence":"DMARC none of ."}]},"spam_action":{{"greeting":{"error":"","helos":1},"auth":{"error":"","login":"","\
mechanism":"","sender":"@"},"spf":{"error":"","mailfrom":{"result":"pass","identity":"mailfrom","domain":".com","ip":".","\
mailfrom":"@.com","helo":"mail.","mechanism":"ip4:","problem":"","explanation":"","lookups":0,"lax":null,"guess":null,"\
sends_nothing":false},"helo":null,"helo_confirmed":true,"named":true,"forwarder":"","receiver":"mx."},"sender_lists":{"\
error":"","sender":"@","whitelisted":"","blacklisted":"","banned":""},"reputation":{"error":"","domain":".com","how":"SPF","\
umis":"","reputation":0.0,"confidence":0.0,"spam":0,"ham":0,"peers":0,"trusted":false},"header_oddities":{"error":"","odd"\
:["missing_date","missing_message_id"],"seen":["",""]},"dkim":{"error":"","signatures":[{"result":"pass","reason":"","\
domain":"","selector":"","algorithm":"rsa-sha256","identity":"","prefix":"","key_bits":2048,"verified":true,"\
unsigned_octets":0,"testing":false,"expired":false}],"skipped":0,"author":"@","practice":""},"dmarc":{"error":"","authors"\
:[{"found":{"domain":".com","result":"pass","asked":"none","tag":"p","publisher":"","organizational":"","aligned":"spf ","\
testing":false,"problem":""},"override":null,"because":""}],"ambiguous":false,"unreadable":false},"authentication_results":{\
"error":"","authserv_id":"mx.","aliases":[],"forged":0,"ip":"."},"connection":{"error":"","client":"external","iprev":"pass"\
,"dynamic":false,"ip":".","false_localhost":false},"banned":{"error":"","ip":"","reason":"","until":null},"helo":{"error":""\
,"name":"mail.","form":"hostname","ip":".","own":["mx."]}}[{"check":"connection","action":"continue","code":0,"mode":"\
enforce","reason":""},{"check":"banned","action":"continue","code":0,"mode":"enforce","reason":""},{"check":"helo","action"\
:"continue","code":0,"mode":"enforce","reason":""},{"check":"greeting","action":"continue","code":0,"mode":"enforce","\
reason":""},{"check":"auth","action":"continue","code":0,"mode":"enforce","reason":""},{"check":"spf","action":"continue","\
code":0,"mode":"enforce","reason":"SPF pass for "},{"check":"sender_lists","action":"continue","code":0,"mode":"enforce","\
reason":""},{"check":"reputation","action":"continue","code":0,"mode":"enforce","reason":""},{"check":"header_oddities","\
action":"continue","code":0,"mode":"enforce","reason":"missing_date, missing_message_id"},{"check":"dkim","action":"\
continue","code":0,"mode":"enforce","reason":"DKIM none"},{"check":"dmarc","action":"continue","code":0,"mode":"enforce","\
reason":"DMARC none of "},{"check":"authentication_results","action":"continue","code":0,"mode":"enforce","reason":""}][{"\
address":"@example.com","refused":null,"findings":{"score":{"error":"","total":0.4,"tests":[{"test":"DKIM_NONE","points"\
:0.2,"evidence":"The message is not signed."},{"test":"DMARC_MISSING","points":0.2,"evidence":"DMARC none of ."}]},"\
spam_action":{"error":"","user":"","action":"tag","subject":"","in_text":false,"opinion":null,"is_spam":false,"reached":"","\
required":6.0,"because":""}},"decisions":[{"check":"score","action":"continue","code":0,"mode":"enforce","reason":"\
0.4 (DKIM_NONE=0.2, DMARC_MISSING=0.2)"},{"check":"spam_action","action":"continue","code":0,"mode":"enforce","reason":""\
}]}]"""
# Without default values, and with the tests of the signs of fraud.
_DICTIONARY_3 = b"""\
"callback":{"outcome":""},"words":{"where":"subject","word":"","text":"languages":{"text":"","scripts":["share":0.,"charset":"\
"private_relay":{"relay":""},"known_user":{"known":true},"archive":{},"scrub":{},"srs":{},"dsn":{},"dnsbl":{"listed":[{"list":"\
","about":"client","subject":"","answers":["127.0.0."attachments":{"found":[{"path":[],"name":"","reason":"","detail":""}],"\
forged_marks":{"impersonation":{"kind":"name","author":"","meant":"","of":"","relayed":true},"fingerprints":{"\
near":[{"kind":1,"\
similarity":0.,"share":0.,"voices":1}],"partly":true},"arc":{"result":"pass","sealers":["author_domain":{"domains":["\
"sender_domain":{"fault":"","sender":"","ip":"","login":""},"greylist":{"state":"known","wait":0.0,"client":"s\
pf:","attempts":1},\
"greylist_suspicious":{"because":"nothing proves who the client is","client":"spf:","state":"new","wait":300.0}\
{"check":"greylist_suspicious","action":"tempfail","code":451,"reason":"new triplet for , 300 s left; score \
","enhanced":"4.7.1","text":""},"refused":{"check":"known_user","action":"reject","code":550,"mode":"log","enhanced":"5.1.1"\
"action":"quarantine","reason":"spam, score "decided":"discard"softfail","permerror","temperror","neutral","fail","internal"\
"explanation":"","problem":"","guess":"","lax":"","forwarder":"","testing":true,"expired":true,"unsigned_octets":\
"override":"","because":"","tag":"p","asked":"reject","organizational":"testing":true,"ambiguous":true,"login"\
:"","mechanism":"PLAIN"\
"dspam":{"opinions":[{"dictionary":"site","users":[""],"probability":0.,"is_spam":true,"spam":1,"ham":1,"autho\
r_spam":1,"author_ham":1}\
],"authenticated":true,"whitelisted":true},"user":"","subject":"[SPAM]","in_text":true,"opinion":{"is_spam":tr\
ue,"reached":"mark"\
{"check":"dspam","reason":"not spam, probability 0.00 (site)"},{"test":"BAYES_SPAM","points":9.0,"evidence":"\
{"test":"BAYES_HAM","points":-3.0,"evidence":"The dictionary of site holds it for spam with a probability of 0.0\
{"test":"KNOWN_CORRESPONDENT","points":-5.0,"evidence":"The sender {"test":"REPUTATION_GOOD","points":-{"test"\
:"REPUTATION_BAD",\
{"test":"FRAUD_ACCOUNT","FRAUD_URGENCY","FRAUD_RETAIL","FRAUD_SELLING","FRAUD_GAIN","evidence":"\
It has 2 phrases of this kind: "content_signs":{"signs":[{"test":"MIME_HTML_ONLY","evidence":"\
it is HTML without a text beside it"}]},"link_signs":{"signs":[{"test":"URL_SHORTENER","evidence":"\
a link leads to "LINK_TEXT_OTHER","a link says  and leads to "author_signs":{"signs":[{"test":"FROM_NAME_BRAND","evidence":"\
the name names , and the mail is from "header_signs":{"signs":[{"test":"MSGID_NO_DOMAIN","evidence":"\
the Message-ID has no domain: <it has a phrase of this kind: ","share":0.2},{"test":"","evidence":"the subject \
{"test":"SPF_FAIL","points":1.5,"evidence":"SPF fail for {"test":"SPF_SOFTFAIL","points":0.8,"evidence":"SPF softfail for \
{"test":"RDNS_NONE","points":1.2,"evidence":"The address  has no host name that leads back to it."},{"test":"RDNS_DYNAMIC",\
"points":0.8,"evidence":"The host name  of  looks like one of a pool of homes or offices."},\
{"test":"HELO_NO_DOMAIN","points":0.8,"evidence":"The client said HELO {"test":"DKIM_INVALID","points":0.5,"ev\
idence":"DKIM fail of \
{"test":"DMARC_NONE","points":1.2,"evidence":"DMARC fail of {"test":"DATE_IN_PAST","points":0.8,"evidence":"\
Its date is too far in the past: ."},{"test":"MISSING_DATE","points":1.0,"evidence":"It has no Date field."},\
{"test":"MISSING_MID","points":0.8,"evidence":"It has no Message-ID field."},\
{"test":"SPF_NONE","points":0.3,"evidence":"SPF none for , asked about ."},\
{"greeting":{"helos":1},"auth":{"sender":"@"},"spf":{"mailfrom":{"result":"pass","identity":"mailfrom","domain":".example.com",\
"ip":"192.0.2.","mailfrom":"@.com","helo":"mail.","mechanism":"include:","lookups":1},"helo_confirmed":true,"n\
amed":true,"receiver":\
"mx."},"sender_lists":{"sender":"@"},"reputation":{"domain":".com","how":"SPF","umis":"","reputation":0.,"conf\
idence":0.,"spam":1,\
"ham":1,"trusted":true},"header_oddities":{"odd":["old_date","missing_date","missing_message_id"],"seen":["",""]},\
"dkim":{"signatures":[{"result":"pass","domain":".com","selector":"s1","algorithm":"rsa-sha256","identity":"@","prefix":"",\
"key_bits":2048,"verified":true}],"author":"@"},"dmarc":{"authors":[{"found":{"domain":".com","result":"pass","publisher":"",\
"aligned":"spf "}}]},"reputation_signed":{"domain":"","how":"DKIM","umis":"","reputation":0.,"confidence":0.,"ham":1},\
"authentication_results":{"authserv_id":"mx.","ip":""},"connection":{"iprev":"pass","ip":""},"banned":{"ip":""},\
"helo":{"name":"mail.","ip":"","own":["mx.example.com"]}}[{"check":"connection"},{"check":"banned"},{"check":"helo"},\
{"check":"greeting"},{"check":"auth"},{"check":"spf","reason":"SPF pass for "},{"check":"sender_lists"},{"check":"reputation",\
"reason":"SPF  has reputation 0, confidence 0 (0 spam, 1 ham)"},{"check":"header_oddities","reason":"\
missing_date, missing_message_id"},{"check":"content_signs","reason":"MIME_HTML_ONLY"},\
{"check":"header_signs","reason":"MSGID_NO_DOMAIN"},{"check":"dkim","reason":"DKIM none"},{"check":"dkim","rea\
son":"DKIM pass of \
"},{"check":"dmarc","reason":"DMARC none of "},{"check":"dmarc","reason":"DMARC pass of "},{"check":"authentication_results"}]\
[{"address":"@example.com","findings":{"score":{"total":0.4,"tests":[{"test":"DKIM_NONE","points":0.2,"evidence":"\
The message is not signed."},{"test":"DMARC_MISSING","points":0.2,"evidence":"DMARC none of ."}]},"spam_action\
":{"required":6.0}},\
"decisions":[{"check":"score","reason":"0.4 (DKIM_NONE=0.2, DMARC_MISSING=0.2)"},{"check":"spam_action"}]},{"a\
ddress":"@example.com"}]"""
_DICTIONARIES = {"z1": _DICTIONARY_1, "z2": _DICTIONARY_2, "z3": _DICTIONARY_3}
# The state after reading the dictionary, made once for all rows. A window of 8 kB holds it and a usual row. This state
# is copied for each column and takes 48 kB; larger ones gain nothing.
_BEGUN = zlib.compressobj(9, zlib.DEFLATED, 13, 5, zlib.Z_DEFAULT_STRATEGY, _DICTIONARIES[_VERSION])


_LETTERS = np.frombuffer(bytes(base64.b85encode(bytes([0, 0, 0, number]))[4] for number in range(85)), dtype=np.uint8)
_DIGITS = bytes(_LETTERS.tobytes().find(octet) & 0xFF for octet in range(256))  # 255 for other characters
_WEIGHTS = np.array([85**4, 85**3, 85**2, 85, 1], dtype=np.float64)
_PLACES, _85 = np.array([85**4, 85**3, 85**2, 85, 1], dtype=np.uint32), np.uint32(85)


def pack(text: str) -> str:
    """The text in the form stored in the column."""
    if len(text) < _SHORT:
        return text
    deflate = _BEGUN.copy()
    octets = deflate.compress(text.encode("utf-8")) + deflate.flush()
    packed = _VERSION + _in_letters(octets)
    return packed if len(packed) < len(text) else text


def _in_letters(octets: bytes) -> str:
    """The same as base64.b85encode(), in a third of the time for the values of a row."""
    padding = -len(octets) % 4
    numbers = np.frombuffer(octets + bytes(padding), dtype=">u4").astype(np.uint32)
    letters = _LETTERS.take(numbers[:, None] // _PLACES % _85).tobytes().decode("ascii")
    return letters[: len(letters) - padding]


def _from_letters(letters: str) -> bytes:
    """The same as base64.b85decode(), in a tenth of the time for the values of a row. Raises ValueError for invalid
    text.
    """
    padding = -len(letters) % 5
    digits = np.frombuffer(letters.encode("ascii").translate(_DIGITS) + bytes([84]) * padding, dtype=np.uint8)
    numbers = digits.reshape(-1, 5) @ _WEIGHTS  # exact: below 2**53
    if digits.max(initial=0) >= 85 or numbers.max(initial=0.0) >= 2.0**32:
        raise ValueError("not of base 85")
    octets = numbers.astype(">u4").tobytes()
    return octets[: len(octets) - padding]


def unpack(text: str) -> str:
    """The text passed to pack(), or the text itself if it is not packed; "" if it is damaged."""
    dictionary = _DICTIONARIES.get(text[: len(_VERSION)])
    if dictionary is None:
        return text
    inflate = zlib.decompressobj(zlib.MAX_WBITS, dictionary)
    try:
        octets = inflate.decompress(_from_letters(text[len(_VERSION) :]), _LONGEST)
        return octets.decode("utf-8") if inflate.eof else ""
    except (ValueError, zlib.error):
        return ""


class PackedJson(sa.types.TypeDecorator[str]):
    """Text that is compressed in the database."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return mysql.LONGTEXT() if dialect.name in ("mysql", "mariadb") else self.impl_instance

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else pack(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else unpack(value)
