"""The running poller of Junk folders: beside the workers, or as `bms imap`. It needs the extra `imap`."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import cast

import imapclient
from imapclient.exceptions import IMAPClientError

from antispam.journey.table import Journey
from antispam.service.imap_poller import Client, Folder, LaterError, start
from antispam.service.plan import SideServer
from antispam.service.teaching import lessons
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.imap import ImapSettings, Mailbox, Tls
from antispam.settings.secret_files import password_in
from antispam.store import Store, StoreError

_TIMEOUT = imapclient.SocketTimeout(connect=15, read=60)
FAILURES: tuple[type[Exception], ...] = (
    IMAPClientError,
    OSError,
    ValueError,
    StoreError,
    LaterError,
)  # ssl's are OSErrors


def connect(mailbox: Mailbox) -> Client:
    """A client that is logged in. Raises FAILURES."""
    password = password_in(mailbox.password_file)
    context = ssl.create_default_context(cafile=mailbox.ca_file)
    implicit = mailbox.tls is Tls.IMPLICIT
    client = imapclient.IMAPClient(
        mailbox.host, mailbox.port, ssl=implicit, ssl_context=context if implicit else None, timeout=_TIMEOUT
    )
    try:
        if mailbox.tls is Tls.STARTTLS:
            client.starttls(context)
        client.login(mailbox.login, password)
    except BaseException:
        with contextlib.suppress(OSError):
            client.shutdown()
        raise
    return cast(Client, client)


@contextlib.contextmanager
def folders(journey: Journey, settings: Settings, closing: threading.Event) -> Iterator[list[Folder]]:
    """The folders to watch, with an open store."""
    own = settings[ImapSettings]
    with contextlib.closing(Store.from_settings(settings)) as store:
        teach = lessons(journey, settings, store).teach
        yield [
            Folder(mailbox, name, is_spam, store, teach, connect, FAILURES, closing.wait, own.refresh)
            for mailbox in own.mailboxes
            for name, is_spam in mailbox.folders.items()
        ]


def side_server(journey: Journey, settings: Settings) -> SideServer:
    """The poller in its own process beside the workers."""

    def run(context: WorkerContext) -> None:
        context.ready()  # mail must not wait for it
        closing = threading.Event()
        with folders(journey, settings, closing) as found:
            start(found, closing)
            closing.wait()

    return SideServer("poller of Junk folders", run)
