divert(-1)
#
# Sender rewriting for mail that sendmail passes on, by the socket map that "bms srs serve" answers. docs/srs.md says how
# to include it; SRS_SOCKET may name another socket before.
#
# Senders that leave through an SMTP mailer are rewritten to [srs] fwdomain, those of our own domains signed, except on
# their way to a host of nosrs; recipients that we rewrote or signed are led back.
#
ifdef(`SRS_SOCKET', `', `define(`SRS_SOCKET', `/run/milter/srs.sock')')
divert(0)
LOCAL_CONFIG
# -f: local parts keep their case
Kmake_srs socket -f local:SRS_SOCKET
Kreverse_srs socket -f local:SRS_SOCKET
# asked only whether anybody answers
Ksrs_up socket -T<TMPF> local:SRS_SOCKET
Kis_srs regex -a@SRS ^(SRS[01][-+=]|SES=)

LOCAL_RULE_0
R$+ < @ $* > $*		$: $( is_srs $1 $: $) $| $1 < @ $2 > $3
R@SRS $| $+ < @ $* > $*	$: $( reverse_srs $1<@$2> $: $1 < @ $2 > $3 $)
R$* $| $*		$: $2

# Senders are rewritten as mail leaves, where sendmail goes on with the plain one if nobody answers. So it takes no mail then.
LOCAL_RULESETS
SLocal_check_rcpt
R$*			$: $( srs_up up $: up $) $| $1
R$* <TMPF> $| $*	$#error $@ 4.3.0 $: "451 4.3.0 Sender rewriting does not answer now; please try again later"
R$* $| $*		$: $2

MAILER_DEFINITIONS
SEnvFromSMTP
R$+ < @ $+ > $*		$: $&h $| $1 < @ $2 > $3
R$* $| $+ < @ $+ > $*	$: $( make_srs $1 $| $2<@$3> $: $2 < @ $3 > $4 $)
