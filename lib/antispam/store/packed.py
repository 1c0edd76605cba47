"""JSON in a column, as small as it gets: in the rows of the history most is the same as in all others.

Deflate with a preset dictionary (RFC 1950 section 2.2) of what such rows usually have, written in letters (base 85), so that
the column is text as it ever was. A value begins with its version; what begins otherwise is plain JSON, of older rows.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

_VERSION = "z2"
_SHORT = 40  # characters of JSON that are not worth it
_LONGEST = 256 << 20  # octets that a value may unfold to

# Never to be changed: rows were written with them. A better one needs a version of its own. The most frequent stands last.
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
_DICTIONARIES = {"z1": _DICTIONARY_1, "z2": _DICTIONARY_2}


def pack(text: str) -> str:
    """As it stands in the column."""
    if len(text) < _SHORT:
        return text
    deflate = zlib.compressobj(
        9, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, _DICTIONARIES[_VERSION]
    )
    octets = deflate.compress(text.encode("utf-8")) + deflate.flush()
    packed = _VERSION + base64.b85encode(octets).decode("ascii")
    return packed if len(packed) < len(text) else text


def unpack(text: str) -> str:
    """What pack() was given, or the text itself where that was not packed; "" for what is damaged."""
    dictionary = _DICTIONARIES.get(text[: len(_VERSION)])
    if dictionary is None:
        return text
    inflate = zlib.decompressobj(zlib.MAX_WBITS, dictionary)
    try:
        octets = inflate.decompress(base64.b85decode(text[len(_VERSION) :]), _LONGEST)
        return octets.decode("utf-8") if inflate.eof else ""
    except (ValueError, zlib.error):
        return ""


class PackedJson(sa.types.TypeDecorator[str]):
    """Text that is packed on its way into the database, and unpacked on its way out."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return mysql.LONGTEXT() if dialect.name in ("mysql", "mariadb") else self.impl_instance

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else pack(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else unpack(value)
