"""The texts of an SPF result for the log and for the sender."""

from __future__ import annotations

from antispam.mail.verdicts import Verdict, reject, tempfail
from antispam.protocols.spf import Result, SpfResult


def found(outcome: SpfResult) -> str:
    """The result in words for the log."""
    notes = [f"lax {outcome.lax}"] if outcome.lax else []
    notes += [f"guessed {outcome.guess}"] if outcome.guess else []
    notes += [outcome.problem] if outcome.problem else []
    identity = "HELO SPF" if outcome.identity == "helo" else "SPF"
    return f"{identity} {outcome.result} for {outcome.domain or 'no domain'}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


def refusal(outcome: SpfResult, result: Result) -> Verdict:
    """A refusal that tells an honest sender what to do. It is never permanent for a temporary error (RFC 7208 section
    8.6).
    """
    text = "\n".join(_reply_text(outcome, result))
    match result:
        case Result.TEMPERROR:
            return tempfail(text, found(outcome), enhanced="4.7.24")
        case Result.PERMERROR:
            return reject(text, found(outcome), enhanced="5.7.24")
        case Result.FAIL:
            return reject(text, found(outcome), enhanced="5.7.23")
        case Result.NONE:  # three strikes: no honest server has no name, no HELO name and no record
            return reject(text, found(outcome), enhanced="5.7.25", demerits=1)
        case _:
            return reject(text, found(outcome))


def _reply_text(outcome: SpfResult, result: Result) -> list[str]:
    """What was found and what the sender can do, in sentences shorter than a line."""
    domain, ip = outcome.domain or outcome.helo, outcome.ip
    record = f"Please ask the administrator of {domain} to add {ip} to its SPF record"
    match result:
        case Result.FAIL if outcome.identity == "helo":
            return [
                f"The mail server at {ip} calls itself {domain}, but the SPF record of {domain} does not permit that.",
                f"{record}, or to correct the name that the server sends at HELO.",
            ]
        case Result.FAIL:
            explained = [f"{domain} explains: {outcome.explanation}"] if outcome.explanation else []
            return [
                f"The SPF record of {domain} does not permit {ip} to send mail with that sender address.",
                *explained,
                f"If you sent the message, use the mail server of the provider of that address. {record}.",
            ]
        case Result.SOFTFAIL | Result.NEUTRAL:
            return [
                f"Mail from {domain} is often forged, so it must pass SPF here; for {ip} the result is {result}.",
                f"Please use the mail server of the provider of that address. {record}.",
            ]
        case Result.PERMERROR:
            return [
                f"The SPF record of {domain} has an error: {outcome.problem or 'it cannot be parsed'}.",
                f"Please ask the administrator of {domain} to correct it; until then its mail cannot be told from forgeries.",
            ]
        case Result.TEMPERROR:
            return [
                f"The SPF record of {domain} could not be looked up: {outcome.problem or 'no answer'}.",
                f"The message can be accepted once the name servers of {domain} answer; your server will try again by "
                "itself.",
            ]
        case Result.NONE:
            return [
                f"The mail server at {ip} cannot be identified: it has no host name that resolves back to it (PTR record),",
                f"no valid HELO name, and {domain} publishes no SPF record. Any one of these would be enough.",
            ]
        case _:
            return [f"Mail from {domain} is not accepted here, although {ip} is permitted to send it."]
