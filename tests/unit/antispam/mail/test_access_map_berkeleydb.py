"""Berkeley DB hashes: built here octet by octet, damaged at random, and written by the real tools."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from Milter.berkeleydb import HASH_MAGIC, BerkeleyDBError, read_hash

PAGE = 512
Pairs = list[tuple[bytes, bytes]]


def page(
    number: int, kind: int, body: bytes, *, order: str = "<", entries: int = 0, used: int = 0, following: int = 0
) -> bytes:
    """One page; `body` follows the header of 26 octets."""
    header = struct.pack(order + "QIIIHHBB", 0, number, 0, following, entries, used, 0, kind)
    return (header + body).ljust(PAGE, b"\0")


def hash_page(number: int, items: list[bytes], order: str = "<", kind: int = 13) -> bytes:
    """A hash page: items from the end of the page down, their offsets after the header."""
    offsets, end, content = [], PAGE, b""
    for item in items:
        end -= len(item)
        offsets.append(end)
        content = item + content
    table = struct.pack(f"{order}{len(items)}H", *offsets)
    gap = b"\0" * (PAGE - 26 - len(table) - len(content))
    return page(number, kind, table + gap + content, order=order, entries=len(items), used=end)


def meta(last_page: int, order: str = "<", version: int = 9, *, magic: int = HASH_MAGIC, flags: int = 0) -> bytes:
    head = struct.pack(order + "QIIII", 0, 0, magic, version, PAGE)
    return (head + bytes([0, 8, flags, 0]) + struct.pack(order + "III", 0, last_page, 0)).ljust(PAGE, b"\0")


def database(*pages: bytes, order: str = "<", version: int = 9) -> bytes:
    return meta(len(pages), order, version) + b"".join(pages)


def plain(data: bytes) -> bytes:
    return b"\x01" + data


def off_page(number: int, length: int, order: str = "<") -> bytes:
    return b"\x03\0\0\0" + struct.pack(order + "II", number, length)


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_and_read(content: bytes) -> Pairs:
        path = tmp_path / "access.db"
        path.write_bytes(content)
        return list(read_hash(path))

    return write_and_read


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [7, 8, 9, 10])
@pytest.mark.parametrize("kind", [2, 13])
def test_pairs_are_read_in_both_byte_orders_and_all_versions(read, order: str, version: int, kind: int) -> None:  # type: ignore[no-untyped-def]
    items = [plain(b"spf-fail:"), plain(b"REJECT"), plain(b"spf-pass:"), plain(b"OK")]
    content = database(hash_page(1, items, order, kind), order=order, version=version)
    assert read(content) == [(b"spf-fail:", b"REJECT"), (b"spf-pass:", b"OK")]


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_item_too_big_for_its_page_is_put_together_from_its_chain(read, order: str) -> None:  # type: ignore[no-untyped-def]
    big = bytes(range(256)) * 3
    room = PAGE - 26
    content = database(
        hash_page(1, [plain(b"key"), off_page(2, len(big), order)], order),
        page(2, 7, big[:room], order=order, used=room, following=3),
        page(3, 7, big[room:], order=order, used=len(big) - room),
        order=order,
    )
    assert read(content) == [(b"key", big)]


def test_duplicates_within_a_page_come_one_by_one(read) -> None:  # type: ignore[no-untyped-def]
    duplicates = b"\x02" + b"".join(struct.pack("<H", len(v)) + v + struct.pack("<H", len(v)) for v in (b"one", b"two"))
    assert read(database(hash_page(1, [plain(b"k"), duplicates]))) == [(b"k", b"one"), (b"k", b"two")]


def test_duplicates_on_pages_of_their_own_are_followed_from_the_leftmost_leaf(read) -> None:  # type: ignore[no-untyped-def]
    leaf_item = struct.pack("<HB", 3, 1) + b"one"
    inner = page(2, 4, struct.pack("<HII", 28, 3, 1), entries=1)
    leaf = page(3, 6, struct.pack("<H", 28) + leaf_item, entries=1)
    content = database(hash_page(1, [plain(b"k"), b"\x04\0\0\0" + struct.pack("<I", 2)]), inner, leaf)
    assert read(content) == [(b"k", b"one")]


def test_free_and_never_used_pages_are_passed_over(read) -> None:  # type: ignore[no-untyped-def]
    assert read(database(b"\0" * PAGE, hash_page(2, [plain(b"k"), plain(b"v")]))) == [(b"k", b"v")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a Berkeley DB file"),
        (b"spf-fail: REJECT\n" * 100, "not a Berkeley DB file"),
        (meta(0, magic=0x053162), "btree"),
        (struct.pack(">I", HASH_MAGIC).ljust(PAGE, b"\0"), "1.85"),
        (meta(0, version=6), "version 6"),
        (meta(0, flags=1), "checksummed"),
        (meta(3), "truncated"),
        (database(hash_page(1, [plain(b"k")])), "no value"),
        (database(hash_page(7, [plain(b"k"), plain(b"v")])), "calls itself page 7"),
        (database(hash_page(1, [plain(b"k"), b"\x09what"])), "item of type 9"),
        (database(hash_page(1, [plain(b"k"), off_page(9, 10)])), "no such page"),
        (database(hash_page(1, [plain(b"k"), off_page(1, 10)])), "not the overflow page"),
        (database(page(1, 13, b"", entries=60_000)), "don't fit"),
        (database(page(1, 13, struct.pack("<HH", 400, 500), entries=2)), "overlaps"),
        (database(hash_page(1, [plain(b"k"), b"\x02\x05\0ab"])), "duplicate"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(read, content: bytes, why: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BerkeleyDBError, match=why):
        read(content)


def test_an_overflow_chain_that_bites_its_tail_ends(read) -> None:  # type: ignore[no-untyped-def]
    """It claims four thousand million octets; the file has three pages."""
    content = database(
        hash_page(1, [plain(b"k"), off_page(2, 0xFFFFFFF0)]), page(2, 7, b"x" * 486, used=486, following=2)
    )
    with pytest.raises(BerkeleyDBError, match="more than the file"):
        read(content)


def test_a_tree_of_duplicates_that_bites_its_tail_ends(read) -> None:  # type: ignore[no-untyped-def]
    reference = b"\x04\0\0\0" + struct.pack("<I", 2)
    leaf = page(2, 6, struct.pack("<H", 28) + struct.pack("<HB", 1, 1) + b"x", entries=1, following=2)
    with pytest.raises(BerkeleyDBError, match="more than the file"):
        read(database(hash_page(1, [plain(b"k"), reference]), leaf))


def test_one_big_item_cannot_be_had_a_thousand_times(read) -> None:  # type: ignore[no-untyped-def]
    items = [item for _ in range(20) for item in (plain(b"k"), off_page(2, 486))]
    with pytest.raises(BerkeleyDBError, match="more than the file"):
        read(database(hash_page(1, items), page(2, 7, b"x" * 486, used=486)))


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "access.db"
    path.write_bytes(database(hash_page(1, [])))
    with pytest.raises(BerkeleyDBError, match="more than the 100"):
        list(read_hash(path, max_bytes=100))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 4 * PAGE - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_anywhere_ends_in_an_answer_or_a_clear_error(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    content = bytearray(
        database(
            hash_page(1, [plain(b"spf-fail:"), off_page(2, 600), plain(b"k"), b"\x04\0\0\0" + struct.pack("<I", 3)]),
            page(2, 7, b"x" * 486, used=486, following=3),
            page(3, 6, struct.pack("<H", 28) + struct.pack("<HB", 1, 1) + b"x", entries=1),
        )
    )
    for at, octet in damage:
        content[at] = octet
    path = tmp_path / "damaged.db"
    path.write_bytes(content)
    with contextlib.suppress(BerkeleyDBError):
        assert sum(len(value) for _, value in read_hash(path)) <= len(content)


SERVERS = Path(__file__).parents[4] / ".cache" / "servers"
MAKEMAP = SERVERS / "sendmail/usr/libexec/sendmail/makemap"
POSTMAP = SERVERS / "postfix/usr/sbin/postmap"
LINES = {f"spf-fail:user{i}@dom{i % 97}.example": f"REJECT text {i}" for i in range(3000)} | {"spf-pass:": "x" * 900}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "access"
    path.write_text("".join(f"{key}\t{value}\n" for key, value in LINES.items()))
    return path


@pytest.mark.servers
def test_what_sendmails_makemap_wrote_is_read_back(source: Path) -> None:
    if not MAKEMAP.exists():
        pytest.skip("run scripts/install-test-servers")
    config = source.with_name("empty.cf")
    config.touch()
    with source.open() as lines:
        subprocess.run([MAKEMAP, "-C", config, "-r", "hash", source], stdin=lines, check=True)
    expected = [(key.encode(), value.encode()) for key, value in LINES.items()]
    assert sorted(read_hash(f"{source}.db")) == sorted(expected)


@pytest.mark.servers
def test_duplicates_that_makemap_wrote_come_in_their_order(source: Path) -> None:
    """Three thousand values of one key live in a tree of their own."""
    if not MAKEMAP.exists():
        pytest.skip("run scripts/install-test-servers")
    config = source.with_name("empty.cf")
    config.touch()
    lines = "".join(f"key\tvalue {i:06}\n" for i in range(3000))
    subprocess.run([MAKEMAP, "-C", config, "-d", "hash", source], input=lines, text=True, check=True)
    assert [value for _, value in read_hash(f"{source}.db")] == [f"value {i:06}".encode() for i in range(3000)]


@pytest.mark.servers
def test_what_postmap_wrote_is_read_back_with_its_nuls(source: Path) -> None:
    if not POSTMAP.exists():
        pytest.skip("run scripts/install-test-servers")
    config = source.parent / "etc"
    config.mkdir()
    (config / "main.cf").write_text("mail_owner = daemon\n")
    libraries = str(SERVERS / "postfix/usr/lib/postfix")
    subprocess.run([POSTMAP, "-c", config, f"hash:{source}"], env={"LD_LIBRARY_PATH": libraries}, check=True)
    expected = [(key.encode() + b"\0", value.encode() + b"\0") for key, value in LINES.items()]
    assert sorted(read_hash(f"{source}.db")) == sorted(expected)


@pytest.mark.servers
@pytest.mark.parametrize("order", ["1234", "4321"])
@pytest.mark.parametrize("page_size", ["512", "65536"])
def test_what_berkeley_dbs_own_loader_wrote_is_read_back(tmp_path: Path, order: str, page_size: str) -> None:
    """Keys and values beyond a page, both byte orders, the smallest and the largest pages."""
    loader = shutil.which("db5.3_load") or shutil.which("db_load")
    if loader is None:
        pytest.skip("apt install db5.3-util")
    pairs = {b"k" * 3000: b"v" * 70_000, b"a": b"b"} | {f"key{i}".encode(): f"value{i}".encode() for i in range(500)}
    lines = b"".join(key + b"\n" + value + b"\n" for key, value in pairs.items())
    path = tmp_path / "map.db"
    options = ["-T", "-t", "hash", "-c", f"db_lorder={order}", "-c", f"db_pagesize={page_size}"]
    subprocess.run([loader, *options, path], input=lines, check=True)
    assert dict(read_hash(path)) == pairs
