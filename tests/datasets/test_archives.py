import io
import struct
import tarfile
import zipfile

import pytest

from src.datasets import archives
from src.datasets.archives import unpack
from src.errors import UserError
from src.imaging import is_picture_name
from tests.datasets.pictures import encode, files_below, tar_of, zip_of

MEMBERS = {"set/cat/a.png": encode(1), "set/dog/b.png": encode(2)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_every_kind_unpacks_to_the_same_files(tmp_path, mode):
    members = MEMBERS | {"set/notes.txt": b"x", "__MACOSX/cat/a.png": b"x", "set/.hidden/c.png": b"x"}
    # the kind is told by content, so that a wrong suffix does no harm
    archive = zip_of(tmp_path / "a.bin", members) if mode == "zip" else tar_of(tmp_path / "a.bin", members, mode)
    assert unpack(archive, tmp_path / "out", is_picture_name) == 1
    assert files_below(tmp_path / "out") == MEMBERS


def test_many_members_are_all_unpacked(tmp_path):
    members = {f"{i:04d}.png": encode(i) for i in range(600)}
    unpack(tar_of(tmp_path / "a.tar.gz", members), tmp_path / "out", is_picture_name)
    assert files_below(tmp_path / "out") == members


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:\\evil.png", "C:evil.png"]
)
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_members_that_leave_the_folder_are_refused(tmp_path, name, make):
    archive = make(tmp_path / "a", {"cat/a.png": encode(1), name: encode(2)})
    with pytest.raises(UserError, match="would leave the folder"):
        unpack(archive, tmp_path / "deep" / "out", is_picture_name)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    special = tarfile.TarInfo("cat/x.png")
    special.type, special.linkname = kind, "/etc/passwd"
    with pytest.raises(UserError, match="link or device"):
        unpack(tar_of(tmp_path / "a.tar", MEMBERS, "w", special), tmp_path / "out", is_picture_name)


def hard_link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info


def test_a_hard_link_to_an_earlier_member_becomes_a_copy(tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "a.tar", MEMBERS, "w", hard_link("set/cat/x.png", "set/cat/a.png"))
    unpack(archive, tmp_path / "out", is_picture_name)
    assert files_below(tmp_path / "out") == MEMBERS | {"set/cat/x.png": MEMBERS["set/cat/a.png"]}
    assert not (tmp_path / "out" / "set" / "cat" / "x.png").samefile(tmp_path / "out" / "set" / "cat" / "a.png")
    # copies count against the bound as well
    many = tar_of(tmp_path / "b.tar", {"a.png": bytes(900_000)}, "w", hard_link("b.png", "a.png"))
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1_000_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 1)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(many, tmp_path / "out2", is_picture_name)


@pytest.mark.parametrize("target", ["../victim.png", "set/notes.txt", "set/cat/y.png"])
def test_a_hard_link_to_anything_else_is_refused(tmp_path, target):
    (tmp_path / "victim.png").write_bytes(b"x")
    archive = tar_of(tmp_path / "a.tar", MEMBERS | {"set/notes.txt": b""}, "w", hard_link("set/cat/x.png", target))
    with pytest.raises(UserError, match="link or device"):
        unpack(archive, tmp_path / "out", is_picture_name)
    # where it is no picture's name, it does not matter
    archive = tar_of(tmp_path / "b.tar", MEMBERS, "w", hard_link("set/more.txt", target))
    assert unpack(archive, tmp_path / "out2", is_picture_name) == 1


def test_a_sparse_member_is_refused(tmp_path):
    """Its zeros are not in the archive, so that no bound on what is read would stop them."""
    sparse = tarfile.TarInfo("cat/x.png")
    sparse.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(3 * 2**30)}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(sparse)
    with pytest.raises(UserError, match="sparse"):
        unpack(tmp_path / "a.tar", tmp_path / "out", is_picture_name)
    assert files_below(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "error", [OSError(22, "Invalid argument"), IndexError("index"), ValueError("x"), MemoryError()]
)
def test_whatever_damage_makes_the_library_raise_is_one_sentence(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(archives, "_zip_members", fail)
    with pytest.raises(UserError, match="damaged"):
        unpack(zip_of(tmp_path / "a.zip", MEMBERS), tmp_path / "out", is_picture_name)


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("cat/x.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_bombs_are_refused(tmp_path, monkeypatch, make):
    archive = make(tmp_path / "a", {"cat/a.png": bytes(3_000_000)})
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1_000_000)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(archive, tmp_path / "out", is_picture_name)
    assert sum(map(len, files_below(tmp_path / "out").values())) <= 1_000_000
    monkeypatch.setattr(archives, "MAX_RATIO", 10_000)
    unpack(archive, tmp_path / "again", is_picture_name)  # the ratio is what refused it


def test_passed_over_members_count_against_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1_000_000)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(tar_of(tmp_path / "a", {"zeros.txt": bytes(3_000_000)}), tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_too_many_members_and_doubles_are_refused(tmp_path, monkeypatch, make):
    with pytest.raises(UserError, match="two members at 'a.png'"):
        unpack(make(tmp_path / "a", {"cat/a.png": b"1", "cat//a.png": b"2"}), tmp_path / "out", is_picture_name)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(UserError, match="more than 1 members"):
        unpack(make(tmp_path / "b", MEMBERS), tmp_path / "out2", is_picture_name)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_cut_off_archives_are_refused(tmp_path, mode):
    members = {f"cat/{i}.png": encode(i) * 20 for i in range(50)}
    archive = zip_of(tmp_path / "a", members) if mode == "zip" else tar_of(tmp_path / "a", members, mode)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2 - 100])
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 not really", b"\x1f\x8bxxxx", b"BZhxxxxxxxxx"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_is_a_bomb_is_refused_unread(tmp_path, kind):
    """The library holds it in memory, where the bound on unpacked bytes of a large archive would let it grow."""
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 5_000_000
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(header, io.BytesIO(bytes(header.size)))
    with pytest.raises(UserError, match="a header of 5,000,000 bytes"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", is_picture_name)


def test_headers_without_end_are_refused(tmp_path):
    """Each is read by a call within the one before."""
    header = tarfile.TarInfo("name")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for _ in range(2000):
            archive.addfile(header, io.BytesIO(b"name\0"))
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.tar", tmp_path / "out", is_picture_name)


def test_a_tar_that_claims_more_than_it_holds_is_refused(tmp_path):
    info = tarfile.TarInfo("cat/a.png")
    info.size = 10_000
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.tar", tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("claimed", [10, 10**9])
def test_a_zip_whose_header_lies_is_refused(tmp_path, claimed):
    content = bytearray(zip_of(tmp_path / "a.zip", {"cat/a.png": bytes(100_000)}).read_bytes())
    place = content.index(b"PK\x01\x02") + 24  # the size in the directory
    content[place : place + 4] = struct.pack("<I", claimed)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out", is_picture_name)


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140777])
def test_special_members_of_a_zip_are_refused_whatever_their_name(tmp_path, mode):
    special = zipfile.ZipInfo("notes.txt")
    special.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(special, "/etc/passwd")
    with pytest.raises(UserError, match="link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out", is_picture_name)


def test_an_archive_within_an_archive_is_passed_over(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", MEMBERS).read_bytes()
    archive = zip_of(tmp_path / "a.zip", {"inner.zip": inner, "cat/a.png": encode(1)})
    assert unpack(archive, tmp_path / "out", is_picture_name) == 1
    assert files_below(tmp_path / "out") == {"cat/a.png": encode(1)}


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_names_that_differ_by_case_alone_do_not_meet(tmp_path, make):
    archive = make(tmp_path / "a", {"cat/a.png": b"1", "cat/A.png": b"2"})
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        with pytest.raises(UserError, match="two members"):
            unpack(archive, tmp_path / "out", is_picture_name)
    else:
        unpack(archive, tmp_path / "out", is_picture_name)
        assert files_below(tmp_path / "out") == {"cat/a.png": b"1", "cat/A.png": b"2"}


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_member_that_claims_more_than_it_can_hold_is_refused_at_once(tmp_path, size):
    """tarfile would step over it in pieces of 10 KB, long after the file has ended."""
    archive = tar_of(tmp_path / "a.tar", MEMBERS, "w")
    data = bytearray(archive.read_bytes())
    data[124:136] = b"\x80" + size.to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    archive.write_bytes(data)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(archive, tmp_path / "out", is_picture_name)
