#!/usr/bin/env python3
"""The anti-spam filter for sendmail and Postfix. JOURNEY, read from top to bottom, is what happens to a message.

`bms.py` runs the filter; `bms.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.checks import (
    archive,
    attachments,
    auth,
    authentication_results,
    author_domain,
    auto_whitelist,
    banned,
    blacklisted,
    block_forward,
    callback,
    connection,
    dkim,
    dkim_sign,
    dsn,
    dspam,
    feedback,
    forged_marks,
    greeting,
    greylist,
    header_oddities,
    header_screen,
    helo,
    internal_policy,
    known_user,
    languages,
    login_domain,
    own_mail,
    private_relay,
    reputation,
    reputation_signed,
    scrub,
    sender_domain,
    sender_lists,
    smart_alias,
    spam_action,
    spf,
    srs,
    srs_sign,
    training_address,
    wiretap,
    words,
)
from antispam.commands.program import Command, make_group
from antispam.journey.table import Accepted, Journey, Row, Scope, Stage

CONNECTION, MESSAGE, RECIPIENT = Scope.CONNECTION, Scope.MESSAGE, Scope.RECIPIENT

# fmt: off
JOURNEY = Journey([
    Row(Stage.CONNECT, CONNECTION, connection,
        asks="who is this client to us, and does its host name hold?"),
    Row(Stage.CONNECT, CONNECTION, banned, needs=("connection",),
        asks="has it been shut out, or has it done enough to be?"),
    Row(Stage.HELO, CONNECTION, helo, needs=("connection",),
        asks="does it give a name that an honest server would give?"),
    Row(Stage.MAIL, MESSAGE, greeting, needs=("connection",),
        asks="did it say HELO at all?"),
    Row(Stage.MAIL, MESSAGE, auth, needs=("connection",), accepted=Accepted.DECIDE,
        asks="did it authenticate, and may that login use this sender?"),
    Row(Stage.MAIL, MESSAGE, spf, needs=("connection", "auth"),
        asks="may this client use the domains of MAIL FROM and HELO?"),
    Row(Stage.MAIL, MESSAGE, sender_domain, needs=("connection", "auth", "spf"),
        asks="does a stranger use a domain of ours in MAIL FROM, or one of us somebody else's?"),
    Row(Stage.MAIL, MESSAGE, login_domain, needs=("sender_domain",), accepted=Accepted.DECIDE,
        asks="does one who authenticated use a domain that is not ours?"),
    Row(Stage.MAIL, MESSAGE, internal_policy, needs=("connection", "auth"), accepted=Accepted.DECIDE,
        asks="does the access map let our own clients use this sender?"),
    Row(Stage.MAIL, MESSAGE, sender_lists, needs=("connection", "auth", "spf"), accepted=Accepted.SKIP,
        asks="is the sender on our whitelist or blacklist, or its domain banned?"),
    Row(Stage.MAIL, MESSAGE, reputation, needs=("connection", "auth", "spf"),
        asks="what was the mail of that domain like lately?"),
    Row(Stage.RCPT, RECIPIENT, srs, needs=("connection",),
        asks="is it a bounce of something that we sent, and whom does it mean?"),
    # Those below need it to ask about the mailbox that a signed address stands for.
    Row(Stage.RCPT, RECIPIENT, private_relay, needs=("connection", "auth", "srs"),
        asks="may this client send to that domain by way of us?"),
    Row(Stage.RCPT, RECIPIENT, known_user, needs=("connection", "auth", "srs"),
        asks="is there such a user?"),
    Row(Stage.RCPT, RECIPIENT, training_address, needs=("connection", "auth", "srs"), accepted=Accepted.DECIDE,
        asks="is this an address that teaches the filter, and may this sender teach it?"),
    Row(Stage.RCPT, RECIPIENT, greylist, needs=("connection", "auth", "spf", "sender_lists", "reputation", "srs"),
        accepted=Accepted.SKIP,
        asks="have we seen this client, sender and recipient together before?"),
    # Those below need it only so that none of them is asked before it has answered.
    Row(Stage.END, MESSAGE, own_mail, accepted=Accepted.DECIDE,
        asks="did we send it ourselves, as a letter of our outbox?"),
    Row(Stage.END, RECIPIENT, feedback, needs=("own_mail", "training_address"), accepted=Accepted.DECIDE,
        asks="what does a user report, and what does the filter learn of it?"),
    Row(Stage.END, MESSAGE, blacklisted, needs=("sender_lists", "own_mail"), accepted=Accepted.SKIP,
        asks="is it of a blacklisted sender, of whom the filter shall learn?"),
    Row(Stage.END, MESSAGE, words, needs=("connection", "auth", "spf", "reputation", "own_mail"), accepted=Accepted.SKIP,
        asks="does the subject or the author's name have words that nobody here wants to read?"),
    Row(Stage.END, MESSAGE, languages, needs=("connection", "auth", "own_mail"), accepted=Accepted.SKIP,
        asks="can anybody here read what it is written in?"),
    Row(Stage.END, MESSAGE, header_oddities, needs=("connection", "auth", "own_mail"), accepted=Accepted.SKIP,
        asks="is its header one that a mail program writes?"),
    Row(Stage.END, RECIPIENT, block_forward, needs=("connection", "auth", "own_mail"), accepted=Accepted.SKIP,
        asks="does this recipient hate forwarded mail, and is it forwarded?"),
    Row(Stage.END, MESSAGE, dkim, needs=("connection", "auth", "own_mail"),
        asks="is the message signed, and as it was when it was signed?"),
    Row(Stage.END, MESSAGE, author_domain, needs=("connection", "auth", "spf", "own_mail", "dkim"), accepted=Accepted.DECIDE,
        asks="does From name somebody whom this sender may name?"),
    Row(Stage.END, MESSAGE, callback, needs=("connection", "auth", "spf", "sender_lists", "own_mail", "dkim"),
        accepted=Accepted.SKIP,
        asks="does the sender's mail server take bounces for him, where the access map wants to know?"),
    Row(Stage.END, MESSAGE, reputation_signed, needs=("connection", "auth", "own_mail", "dkim"),
        asks="and the mail that its signer signed?"),
    Row(Stage.END, MESSAGE, dsn, needs=("connection", "auth", "spf", "own_mail", "dkim", "callback"),
        asks="shall its sender be written to, or does a failure come back of what we wrote?"),
    Row(Stage.END, MESSAGE, header_screen, needs=("connection", "auth", "spf", "sender_lists", "own_mail", "dkim"),
        asks="does the header alone look like spam?"),
    Row(Stage.END, MESSAGE, attachments, needs=("own_mail",), accepted=Accepted.PROTECT,
        asks="is there anything in it that is dangerous to open?"),
    Row(Stage.END, MESSAGE, dspam, needs=("connection", "auth", "spf", "sender_lists", "own_mail", "dkim"),
        asks="does it look like the spam that its recipients were taught, or like their honest mail?"),
    Row(Stage.END, RECIPIENT, spam_action, needs=("own_mail", "dspam"),
        asks="what does this recipient want done, if it is spam?"),
    Row(Stage.END, MESSAGE, wiretap, needs=("auth", "own_mail"), accepted=Accepted.DECIDE,
        asks="is the sender one whose mail is copied, or dropped?"),
    Row(Stage.END, MESSAGE, smart_alias, needs=("own_mail", "wiretap"),
        asks="does what this sender sends to these recipients go elsewhere?"),
    Row(Stage.END, RECIPIENT, scrub, needs=("connection", "auth", "own_mail"),
        asks="must this recipient not see which way it came?"),
    Row(Stage.END, MESSAGE, auto_whitelist, needs=("connection", "auth", "own_mail", "training_address"),
        asks="is somebody of us writing to people whose answers shall get through?"),
    Row(Stage.END, MESSAGE, forged_marks, needs=("connection", "auth", "own_mail", "dspam"), accepted=Accepted.PROTECT,
        asks="does it bring marks that only we may write?"),
    Row(Stage.END, MESSAGE, authentication_results, needs=("connection", "auth", "spf", "own_mail", "dkim"),
        accepted=Accepted.PROTECT,
        asks="what shall readers know of SPF and DKIM, and who pretends to be us telling it?"),
    Row(Stage.END, MESSAGE, dkim_sign, needs=("connection", "auth", "own_mail", "author_domain"),
        asks="is this mail of our own, to be signed as it leaves?"),
    # Last, so that the archive has the message as it leaves.
    Row(Stage.END, MESSAGE, archive, needs=("own_mail",), accepted=Accepted.DECIDE,
        asks="is all mail kept, and can this message be?"),
    Row(Stage.END, MESSAGE, srs_sign, needs=("connection", "auth", "own_mail"),
        asks="is its sender one of us, to be signed so that bounces can be told from forgeries?"),
])
# fmt: on

main = make_group(
    JOURNEY,
    "bms",
    "The anti-spam filter for sendmail and Postfix. Without a command it runs in the foreground.",
    commands=(
        Command(
            "train",
            "learning:train_command",
            "Teach the filter that the mail in PATHS (mbox files, maildirs, folders, files; - is standard input) is VERDICT.",
        ),
        Command(
            "evaluate",
            "learning:evaluate_command",
            "Measure the filter on mail of which somebody knows what it is.",
        ),
        Command(
            "preferences",
            "preferences:preferences_command",
            "What users, their groups and the site want otherwise than [dspam] of milter.cfg has it.",
        ),
        Command(
            "quarantine",
            "quarantine.commands:quarantine_command",
            "Look into the mail that was kept from people; release it, delete it, clean up.",
        ),
        Command(
            "outbox",
            "outbox:outbox_command",
            "The mail that the filter sends itself: what waits, and what could not be sent.",
        ),
        Command(
            "backup",
            "backup:backup_command",
            "Copy the whole store (history, quarantine, outbox, dictionaries, lists) to FILE while the filter runs.",
        ),
        Command(
            "restore",
            "backup:restore_command",
            "Replace the content of the store by what `backup` copied to FILE.",
        ),
        Command(
            "cbv",
            "callback:cbv_command",
            "Ask the mail server of ADDRESS whether it takes bounces for it, and show the dialogue.",
        ),
        Command("dsn", "callback:dsn_command", "The notices to senders."),
        Command(
            "lists",
            "lists:lists_command",
            "Senders and clients that the filter remembers: whitelist, blacklist, banned-ip, banned-domain.",
        ),
        Command(
            "bans",
            "lists:bans_command",
            "Write who is banned as a zone file, which other mail servers can ask as a DNSBL (RFC 5782).",
        ),
        Command("srs", "srs:srs_command", "Signed and rewritten envelope senders ([srs], docs/srs.md)."),
        Command(
            "report",
            "report:report_command",
            "Tell what became of the mail of the last days: per day, what was refused and why, and who was stopped most often.",
        ),
        Command("reputation", "reputation:reputation_command", "What senders' domains are known for."),
        Command("dkim", "dkim:dkim_command", "Make, publish, check and rotate the keys that sign."),
        Command(
            "errors-page",
            "errors_page:errors_page_command",
            "Write the pages that explain refusals into FOLDER, which a web server shows: [milter] errors_url is its address.",
        ),
    ),
)

if __name__ == "__main__":
    main()
