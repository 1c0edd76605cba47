"""The group file: who reads, asks and teaches whose dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.groups import GroupError, parse

FILE = """\
# the examples of the documentation
sales:shared:ann,bob
help:shared,managed:eve , dan
friends:inoculation:mary,joe,sue
office:classification:joe,mary
any:classification:*site
base:merged:*

old: stuart,ed
""".splitlines()


@pytest.fixture(scope="module")
def groups():
    return parse(FILE)


def test_a_shared_group_is_the_dictionary_of_its_members(groups) -> None:
    assert [groups.dictionary(user) for user in ("ann", "eve", "mary", "stuart")] == ["sales", "help", "mary", "old"]


def test_only_a_managed_group_has_one_quarantine(groups) -> None:
    assert [groups.quarantine(user) for user in ("ann", "eve", "mary")] == ["ann", "help", "mary"]


def test_a_merged_group_of_everybody_is_not_merged_with_itself(groups) -> None:
    assert [groups.merged(user) for user in ("mary", "base")] == ["base", None]


def test_peers_are_the_other_members_and_globals_are_everybodys(groups) -> None:
    assert groups.peers("mary") == ["joe"]
    assert groups.peers("ann") == []
    assert [groups.globals(user) for user in ("ann", "site")] == [["site"], []]


def test_a_report_inoculates_the_other_members(groups) -> None:
    assert groups.inoculates("mary") == ["joe", "sue"]
    assert groups.inoculates("ann") == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nothing", "group, line 2: expected name:type:user,user"),
        ("a:b:c:d", "line 2: expected"),
        (":shared:ann", "line 2: expected"),
        ("x:sharde:ann", "line 2: no such type of group: sharde"),
        ("x:managed:ann", "line 2: a managed group is shared,managed"),
        ("x::ann", "line 2: the type is missing"),
        ("x:shared:ann", "ann is in two shared groups: sales and x"),
        ("x:inoculation:ann", "ann can't be in the shared group sales and the inoculation group x"),
        ("x:classification:ann", "ann can't be in the shared group sales and the classification group x"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(line: str, complaint: str) -> None:
    with pytest.raises(GroupError, match=complaint):
        parse(["sales:shared:ann", line])


@given(st.lists(st.text("ab:,*#shared managed", max_size=30), max_size=5))
def test_any_file_is_groups_or_a_group_error(lines: list[str]) -> None:
    try:
        groups = parse(lines)
    except GroupError:
        return
    assert isinstance(groups.dictionary("a"), str)
