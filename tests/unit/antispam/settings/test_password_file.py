"""Passwords in files of their own."""

from __future__ import annotations

import pytest

from antispam.settings.password_file import password_in


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_the_password_is_the_first_line_of_its_file(tmp_path, mode):
    file = tmp_path / "ann"
    file.write_text("se cret \nmore\n")
    file.chmod(mode)
    assert password_in(file) == "se cret "


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o601])
def test_a_file_that_is_open_to_others_is_refused(tmp_path, mode):
    file = tmp_path / "ann"
    file.write_text("secret\n")
    file.chmod(mode)
    with pytest.raises(PermissionError, match="give it mode 0600"):
        password_in(file)


def test_no_password_is_not_taken_for_an_empty_one(tmp_path):
    file = tmp_path / "ann"
    file.write_text("\nsecret\n")
    file.chmod(0o600)
    with pytest.raises(OSError, match="its first line must be the password"):
        password_in(file)
