"""The console as people start it."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request

from bms import main
from click.testing import CliRunner

from support.patience import PATIENCE
from support.places import REPOSITORY
from support.ports import free_port
from support.processes import wait_until


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return b"Log in" in answer.read()
    except OSError:
        return False


def _bms(config, *arguments, **more):
    return CliRunner().invoke(main, ["-c", str(config), *arguments], **more)


def test_it_serves_where_the_configuration_says(tmp_path):
    port = free_port()
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[web]\nlisten = 127.0.0.1:{port}\n")
    serving = subprocess.Popen([sys.executable, REPOSITORY / "bms.py", "-c", config, "web", "serve"])
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/login"), "the console")
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) in (0, -15)


def test_without_a_place_it_says_what_to_write(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms(config, "web", "serve")
    assert (done.exit_code, "[web] listen is empty" in done.stderr) == (78, True)


def test_an_account_is_made_with_a_password_from_standard_input(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms(config, "web", "account", "add", "ann", "--role", "helpdesk", input="a long password\n")
    assert (done.exit_code, done.stdout) == (0, "ann may log in as helpdesk.\n")
    assert _bms(config, "web", "account", "list").stdout == "ann\thelpdesk\tann\n"


def test_a_short_password_is_refused(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms(config, "web", "account", "add", "ann", input="short\n")
    assert (done.exit_code, "10 to 1024 characters" in done.stderr) == (1, True)


def test_a_link_is_printed_for_a_first_login(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[web]\nlisten = 127.0.0.1:8025\n")
    made = _bms(config, "web", "account", "add", "ann", "--role", "administrator", "--link")
    again = _bms(config, "web", "account", "link", "ann")
    pattern = r"http://127\.0\.0\.1:8025/enter/[\w-]{43}\n"
    assert re.fullmatch(pattern, made.stdout)
    assert re.fullmatch(pattern, again.stdout)
    assert made.stdout != again.stdout


def test_nobody_without_an_account_gets_a_link(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[web]\nurl = https://mail.example.com/\n")
    done = _bms(config, "web", "account", "link", "ann")
    assert (done.exit_code, "there is no account ann" in done.stderr) == (1, True)


def test_somebody_of_the_site_gets_a_role_without_a_password(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    made = _bms(config, "web", "account", "add", "Ann", "--site", "--role", "helpdesk")
    assert (made.exit_code, made.output) == (0, "ann may log in as helpdesk.\n")
    changed = _bms(config, "web", "account", "password", "ann", input="a long password\n")
    assert (changed.exit_code, "logs in with the site's password" in changed.output) == (1, True)
    odd = _bms(config, "web", "account", "add", "a b*", "--site")
    assert (odd.exit_code, "can't be a login of the site" in odd.output) == (1, True)
