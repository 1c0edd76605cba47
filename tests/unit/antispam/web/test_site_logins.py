"""Logins by the site's IMAP server, its directory, or a proxy: who gets in, as whom, and who does not."""

from __future__ import annotations

import base64
import imaplib
import threading

import pytest
from ldap3.core import exceptions
from starlette.requests import Request
from starlette.testclient import TestClient

from antispam.learning.login_settings import LoginSettings, is_here, login_name, mailbox_of
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.settings import SettingsError, load_text
from antispam.store import accounts, login_failures, sessions
from antispam.store.accounts import Account, Login, Role
from antispam.web.answers import named_by_proxy
from antispam.web.console import LOGINS_A_MINUTE
from antispam.web.site_logins import AT_ONCE, ImapLogin, LdapLogin, SiteLogins, Unavailable
from support.console import NOW, PASSWORD, Place, token

IMAP = "login_by = password, imap\nimap = imaps://mail.example.com\nlogin_domain = example.com\n"
HEADER = "login_by = header\nproxies = 127.0.0.1, 2001:db8::/32\nlogin_domain = example.com\n"
SECRET = "the password of a mailbox"


class Known:
    """A server that knows these names and passwords; what it was asked."""

    def __init__(self, **passwords):
        self.passwords = passwords
        self.asked = []
        self.down = False

    def accepts(self, name, password):
        self.asked.append((name, password))
        if self.down:
            raise Unavailable("IMAP: connection refused")
        return self.passwords.get(name) == password


def settings(text):
    return load_text("[web]\n" + text, [LoginSettings])[LoginSettings]


@pytest.fixture
def site(tmp_path):
    made = Place(tmp_path, more=IMAP)
    made.server = Known(dora=SECRET, bob=SECRET)
    made.console.__dict__["site_logins"] = SiteLogins([made.server], 1.0)
    yield made
    made.store.close()


def log_in(place, name, password=SECRET):
    client = place.client()
    return client, client.post("/login", data={"name": name, "password": password})


# Names and mailboxes


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Dora", "dora"),
        ("dora@Example.COM", "dora@example.com"),
        ("\uff44ora", "dora"),  # fullwidth: a directory takes both for one
        ("", ""),
        ("a b", ""),
        ("bob*master", ""),
        ("../bob", ""),
        ("bob\0", ""),
        ("bob\r\nX: y", ""),
        ("bob\u202e", ""),
        ("bob,carol", ""),
        ("bob)(uid=*", ""),
        ("bob+x", ""),
        ("x" * 256, ""),
    ],
)
def test_a_name_of_the_site_has_one_form(text, known):
    assert login_name(text) == known


@pytest.mark.parametrize(
    ("login", "mailbox"),
    [
        ("dora", "dora@example.com"),
        ("dora@elsewhere.example", "dora@elsewhere.example"),
        ("bob", "bob"),
        ("robert", "bob"),  # the only address with that local part
        ("robert@example.com", "bob"),
        ("x@sales.example.com", "x@sales.example.com"),  # a whole domain is nobody's mailbox
        ("sales", "sales@example.com"),
    ],
)
def test_the_mailbox_follows_from_the_name(login, mailbox):
    dspam = load_text(
        "[dspam]\ndspam_users = bob, sales\nbob = robert@example.com\nsales = @sales.example.com\n", [DspamSettings]
    )[DspamSettings]
    assert mailbox_of(login, settings("login_domain = example.com\n"), Addresses(dspam)) == mailbox


def test_without_a_domain_the_name_is_the_mailbox():
    assert mailbox_of("dora", settings(""), Addresses(load_text("", [DspamSettings])[DspamSettings])) == "dora"


# By the site's password


def test_the_sites_password_lets_in_and_makes_an_account(site):
    client, answer = log_in(site, " Dora ")
    assert answer.headers["location"] == "/"
    found = accounts.get(site.store, "dora")
    assert (found.login, found.role, found.password, found.mailboxes) == (Login.SITE, Role.USER, "", ())
    assert "dora@example.com" in client.get("/account").text


def test_they_see_the_quarantine_of_their_address_alone(site):
    site.keep("aaa", "dora@example.com", subject=b"for Dora")
    site.keep("bbb", "bob", subject=b"for Bob")
    client, _ = log_in(site, "dora")
    page = client.get("/").text
    assert ("for Dora" in page, "for Bob" in page) == (True, False)


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(site):
    answers = [log_in(site, name, "wrong password")[1] for name in ("dora", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].text.replace("dora", "nobody") == answers[1].text
    assert accounts.get(site.store, "nobody") is None


def test_both_names_are_asked_for_whether_or_not_there_is_an_account(site):
    """How long it takes must not tell who has an account of ours."""
    for name in ("bob", "nobody"):
        log_in(site, name, "wrong password")
    assert [name for name, _ in site.server.asked] == ["bob", "nobody"]


def test_the_sites_password_does_not_open_an_account_of_ours(site):
    """Bob with a mailbox and Bob with an account may be two people."""
    _, answer = log_in(site, "bob")
    assert answer.status_code == 403
    assert accounts.get(site.store, "bob").login is Login.OWN


def test_an_own_password_goes_on_to_work_and_is_shown_to_nobody(site):
    _, answer = log_in(site, "bob", PASSWORD)
    assert (answer.status_code, site.server.asked) == (303, [])


def test_own_passwords_can_be_switched_off(tmp_path):
    place = Place(tmp_path, more=IMAP.replace("password, ", ""))
    place.console.__dict__["site_logins"] = SiteLogins([Known()], 1.0)
    assert log_in(place, "bob", PASSWORD)[1].status_code == 403
    place.store.close()


def test_an_account_made_before_has_its_role_and_mailboxes(site):
    accounts.add(site.store, Account("dora", Role.HELPDESK, "", ("sales",), Login.SITE), NOW)
    client, _ = log_in(site, "dora")
    assert "sales" in client.get("/account").text
    assert client.get("/overview").status_code == 200


def test_unknown_names_wait_after_wrong_passwords_and_the_site_is_not_asked(site):
    for _ in range(5):
        log_in(site, "nobody", "wrong password")
    assert "Too many wrong passwords" in log_in(site, "nobody", "wrong password")[1].text
    assert len(site.server.asked) == 5


@pytest.mark.parametrize("password", ["", "a\0b", "x" * 2000, "\ud800"])
def test_passwords_that_no_protocol_carries_are_wrong_without_asking(site, password):
    """An empty one would be a login of nobody to a directory (RFC 4513 section 5.1.2)."""
    assert not site.console.site_logins.accept("dora", password)
    assert site.server.asked == []


@pytest.mark.parametrize("name", ["dora\0", "do ra", "dora*master", "x" * 300])
def test_odd_names_are_wrong_without_asking(site, name):
    assert log_in(site, name)[1].status_code == 403
    assert site.server.asked == []


def test_a_server_that_does_not_answer_is_no_wrong_password(site):
    site.server.down = True
    _, answer = log_in(site, "dora")
    assert (answer.status_code, "could not be checked" in answer.text) == (503, True)


def test_one_server_that_is_down_keeps_nobody_out_whom_the_other_knows():
    down, other = Known(), Known(dora=SECRET)
    down.down = True
    logins = SiteLogins([down, other], 1.0)
    assert logins.accept("dora", SECRET)
    with pytest.raises(Unavailable):
        logins.accept("dora", "wrong password")


def test_the_servers_are_not_asked_by_everybody_at_once():
    logins = SiteLogins([Known()], 0.0)
    for _ in range(AT_ONCE):
        logins._free.acquire()
    with pytest.raises(Unavailable, match="too many"):
        logins.accept("dora", SECRET)


def test_who_has_the_sites_password_can_not_give_themselves_one_here(site):
    client, _ = log_in(site, "dora")
    page = client.get("/account").text
    assert ("It is changed where you read your mail." in page, 'name="new"' in page) == (True, False)
    form = {"token": token(client, "/account"), "new": "a new long password", "again": "a new long password"}
    assert client.post("/account/password", data=form).status_code == 403
    assert accounts.get(site.store, "dora").password == ""


# IMAP


class Imap:
    """A connection as imaplib has it; what a server would read."""

    def __init__(self, error=None):
        self.error = error
        self.read = []
        self.ended = False

    def authenticate(self, mechanism, answer):
        self.read.append((mechanism, answer(b"")))
        if self.error is not None:
            raise self.error

    def logout(self):
        self.ended = True


def imap(connection):
    return ImapLogin(settings(IMAP), lambda: connection)


def test_imap_gets_name_and_password_as_octets():
    connection = Imap()
    assert imap(connection).accepts("dora", 'p"ä\\ {3}\r\nx')
    assert connection.read == [("PLAIN", '\0dora\0p"ä\\ {3}\r\nx'.encode())]
    assert connection.ended


def test_imap_refuses():
    connection = Imap(imaplib.IMAP4.error("[AUTHENTICATIONFAILED] Authentication failed."))
    assert not imap(connection).accepts("dora", SECRET)
    assert connection.ended


@pytest.mark.parametrize(
    "error",
    [
        imaplib.IMAP4.error("[UNAVAILABLE] Temporary authentication failure."),
        imaplib.IMAP4.abort("socket error: EOF"),
        TimeoutError("timed out"),
        ConnectionResetError(),
    ],
)
def test_an_imap_server_that_is_not_well_says_nothing_of_the_password(error):
    with pytest.raises(Unavailable):
        imap(Imap(error)).accepts("dora", SECRET)


def test_an_imap_server_that_is_not_there_is_unavailable():
    def refuse():
        raise ConnectionRefusedError

    with pytest.raises(Unavailable):
        ImapLogin(settings(IMAP), refuse).accepts("dora", SECRET)


def test_no_password_is_sent_where_tls_is_not_offered(tmp_path):
    """A server, or somebody before it, that does not know STARTTLS gets nothing."""
    import socket

    heard = []

    def serve(listening):
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(b"* OK ready\r\n")
            stream.flush()
            for line in stream:
                heard.append(line)
                tag, command = line.split()[:2]
                if command == b"CAPABILITY":
                    stream.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
                stream.write(tag + b" OK done\r\n")
                stream.flush()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        login = ImapLogin(settings(f"login_by = imap\nimap = imap://localhost.example:{port}\n"))
        real = imaplib.IMAP4

        class Here(real):
            def __init__(self, host, port, timeout=None):
                super().__init__("127.0.0.1", port, timeout)

        imaplib.IMAP4 = Here
        try:
            with pytest.raises(Unavailable):
                login.accepts("dora", SECRET)
        finally:
            imaplib.IMAP4 = real
    said = b"".join(heard)
    assert b"AUTHENTICATE" not in said
    assert base64.b64encode(f"\0dora\0{SECRET}".encode()) not in said


# LDAP

LDAP = "login_by = ldap\nldap = ldaps://ldap.example.com\nldap_base = ou=people,dc=example,dc=com\n"


class Directory:
    """ldap3's part of a directory with these entries and passwords."""

    def __init__(self, found, passwords=(), error=None):
        self.found, self.passwords, self.error = found, dict(passwords), error
        self.filters, self.bound = [], []

    def search_connection(self, place, seconds):
        directory = self

        class Connection:
            def __init__(self):
                self.response = [{"type": "searchResEntry", "dn": dn} for dn in directory.found]

            def search(self, base, pattern, **options):
                directory.filters.append(pattern)
                if directory.error:
                    raise directory.error

            def unbind(self):
                pass

        return Connection()

    def bind(self, place, user, password, seconds):
        self.bound.append(user)
        if self.passwords.get(user) != password:
            raise exceptions.LDAPInvalidCredentialsResult(49)
        return self.search_connection(place, seconds)


def ldap(directory, more=""):
    return LdapLogin(settings(LDAP + more), directory.search_connection, directory.bind)


DORA = "uid=dora,ou=people,dc=example,dc=com"


@pytest.mark.parametrize(("password", "right"), [(SECRET, True), ("wrong password", False)])
def test_the_one_entry_of_that_name_has_to_take_the_password(password, right):
    directory = Directory([DORA], {DORA: SECRET})
    assert ldap(directory).accepts("dora", password) == right
    assert (directory.filters, directory.bound) == (["(uid=dora)"], [DORA])


@pytest.mark.parametrize("found", [[], [DORA, "uid=dora,ou=guests,dc=example,dc=com"]])
def test_none_and_several_are_refused_after_as_many_questions(found):
    directory = Directory(found, {DORA: SECRET})
    assert not ldap(directory).accepts("dora", SECRET)
    assert len(directory.bound) == 1
    assert directory.bound[0] not in (DORA, "")


def test_a_name_can_not_change_the_filter():
    directory = Directory([])
    ldap(directory, "ldap_filter = (|(mail=%s)(&(uid=%u)(dc=%d)))\n").accepts("*)(uid=*@example.com", SECRET)
    assert directory.filters == [
        "(|(mail=\\2a\\29\\28uid\\3d\\2a\\40example\\2ecom)(&(uid=\\2a\\29\\28uid\\3d\\2a)(dc=example\\2ecom)))"
    ]


@pytest.mark.parametrize("error", [exceptions.LDAPBusyResult(51), exceptions.LDAPSocketOpenError(), TimeoutError()])
def test_a_directory_that_is_not_well_says_nothing_of_the_password(error):
    with pytest.raises(Unavailable):
        ldap(Directory([DORA], error=error)).accepts("dora", SECRET)


@pytest.mark.parametrize(
    ("url", "starttls"),
    [("ldaps://ldap.example.com", False), ("ldap://ldap.example.com", True), ("ldap://127.0.0.1:389", False)],
)
def test_a_directory_elsewhere_is_asked_over_tls(url, starttls):
    login = LdapLogin(settings(LDAP.replace("ldaps://ldap.example.com", url)))
    assert login._place.starttls == starttls


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("imap://127.0.0.1", True),
        ("imap://[::1]:143", True),
        ("imap://localhost", True),
        ("imap://localhost.evil.example", False),
        ("imap://10.0.0.1", False),
    ],
)
def test_this_machine_is_told_from_others(url, here):
    assert is_here(url) == here


# Header


@pytest.fixture
def portal(tmp_path):
    made = Place(tmp_path, more=HEADER)
    yield made
    made.store.close()


def behind(place, *names, address="127.0.0.1"):
    client = TestClient(place.app, base_url="http://console.example", follow_redirects=False, client=(address, 1))
    client.headers = [*client.headers.raw, *((b"x-remote-user", name) for name in names)]
    return client


def test_a_proxy_says_who_has_logged_in(portal):
    portal.keep("aaa", "dora@example.com", subject=b"for Dora")
    client = behind(portal, b"Dora")
    assert client.get("/").headers["location"] == "/login"
    assert "Continue as Dora" in client.get("/login").text
    assert client.post("/login", data={"by": "proxy"}).headers["location"] == "/"
    assert "for Dora" in client.get("/").text
    assert accounts.get(portal.store, "dora").login is Login.SITE


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db9::1", "testclient"])
def test_nobody_else_is_believed(portal, address):
    client = behind(portal, b"dora", address=address)
    client.headers["X-Forwarded-For"] = "127.0.0.1"
    assert client.get("/login").status_code == 200
    assert accounts.get(portal.store, "dora") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "2001:db8::7"])
def test_proxies_are_addresses_and_networks(portal, address):
    assert behind(portal, b"dora", address=address).post("/login", data={"by": "proxy"}).status_code == 303


def test_opening_the_login_page_begins_no_session(portal):
    """A page that fetches it again and again, or a program that follows links, would fill the table."""
    client = behind(portal, b"dora")
    assert client.get("/login").cookies.get("bms-session") is None
    assert (accounts.get(portal.store, "dora"), sessions.count(portal.store, "dora", NOW)) == (None, 0)


@pytest.mark.parametrize(
    "names",
    [(), (b"",), (b"dora", b"bob"), (b"dora, bob",), (b"do ra",), (b"*",), (b"x" * 300,), (b"bob",)],
    ids=["none", "empty", "two", "listed", "blank", "star", "long", "an account of ours"],
)  # fmt: skip
def test_a_header_that_names_nobody_lets_nobody_in(portal, names):
    client = behind(portal, *names)
    answer = client.get("/login")
    assert (answer.status_code, "Log in at the site" in answer.text) == (200, True)
    assert client.post("/login", data={"by": "proxy"}).status_code == 403


@pytest.mark.parametrize(
    ("octets", "named"), [(b"dora", "dora"), ("dör".encode(), "dör"), (b"\xff", ""), (b"d\xc3", "")]
)
def test_a_header_is_read_as_utf_8(portal, octets, named):
    headers = [(b"x-remote-user", octets)]
    scope = {"type": "http", "headers": headers, "client": ("127.0.0.1", 1), "app": portal.app}
    assert named_by_proxy(Request(scope)) == named


def test_a_session_ends_when_the_proxy_names_somebody_else_or_nobody(portal):
    client = behind(portal, b"dora")
    client.post("/login", data={"by": "proxy"})
    secret = client.cookies["bms-session"]
    for other in (behind(portal, b"carla"), behind(portal), behind(portal, b"dora", address="192.0.2.1")):
        other.cookies.set("bms-session", secret)
        assert other.get("/").status_code == 303
    assert client.get("/").status_code == 200


def test_where_a_proxy_asks_people_no_password_is_taken(portal):
    answer = portal.client().post("/login", data={"name": "bob", "password": PASSWORD})
    assert answer.status_code == 403


# Settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("login_by = imap\n", "needs \\[web\\] imap"),
        ("login_by = ldap\nldap = ldaps://x\n", "needs \\[web\\] ldap_base"),
        ("login_by = header\n", "needs \\[web\\] proxies"),
        ("login_by =\n", "nobody could log in"),
        ("login_by = magic\n", "password, imap, ldap, header"),
        ("imap = http://mail.example.com\n", "imaps://host"),
        ("imap = imaps://user:secret@mail.example.com\n", "imaps://host"),
        ("imap = imaps://mail.example.com:99999\n", "(?i)port"),
        ("proxies = proxy.example.com\n", "addresses and networks"),
        ("login_domain = a b\n", "a domain"),
    ],
)
def test_settings_that_can_not_work_are_refused(text, said):
    with pytest.raises((SettingsError, ValueError), match=said):
        settings(text)


def test_failures_are_counted_by_the_name_in_any_case(site):
    for name in ("Dora", "DORA", " dora "):
        log_in(site, name, "wrong password")
    assert [login_failures.attempt(site.store, "dora", NOW, 5) for _ in range(3)][-1] > 0


def test_an_own_account_without_a_password_is_not_opened_by_the_sites(site):
    accounts.add(site.store, Account("dora", Role.ADMINISTRATOR, "", ("dora",)), NOW)
    assert log_in(site, "dora")[1].status_code == 403


# From where


def asked(place, peer, *forwarded, name="x"):
    client = TestClient(place.app, base_url="http://console.example", follow_redirects=False, client=(peer, 1))
    headers = [("X-Forwarded-For", value) for value in forwarded]
    return client.post("/login", data={"name": name, "password": "wrong password"}, headers=headers).status_code


@pytest.fixture
def hasty(site, monkeypatch):
    """Whom the limit of networks lets through is refused at once, and no name ever waits."""
    monkeypatch.setattr("antispam.web.passwords.fits", lambda stored, password: False)
    monkeypatch.setattr("antispam.store.login_failures.attempt", lambda *_: 0.0)
    return site


def test_a_network_does_not_try_names_without_end(hasty):
    answers = [asked(hasty, "192.0.2.1", name=f"name{number}") for number in range(LOGINS_A_MINUTE + 1)]
    assert answers == [403] * LOGINS_A_MINUTE + [429]
    assert asked(hasty, "192.0.2.200") == 429
    assert asked(hasty, "198.51.100.1") == 403
    hasty.clock.now += 60
    assert asked(hasty, "192.0.2.1") == 403


def test_a_browser_behind_a_proxy_is_known_by_the_last_address_that_it_added(hasty):
    for number in range(LOGINS_A_MINUTE):
        asked(hasty, "127.0.0.1", f"203.0.113.{number}, 192.0.2.1")
    assert asked(hasty, "127.0.0.1", "203.0.113.99", "192.0.2.1") == 429
    assert asked(hasty, "127.0.0.1", "192.0.2.1, 203.0.113.99") == 403


def test_nobody_else_says_from_where_they_come(hasty):
    for number in range(LOGINS_A_MINUTE):
        asked(hasty, "192.0.2.1", f"203.0.113.{number}")
    assert asked(hasty, "192.0.2.1", "203.0.113.99") == 429


def test_a_proxy_that_does_not_say_is_no_network(hasty):
    answers = {asked(hasty, "127.0.0.1", *forwarded) for forwarded in [(), ("nonsense",), ("",)] * LOGINS_A_MINUTE}
    assert answers == {403}
