"""Files that are written: whole or not at all, whatever stands at the path."""

import contextlib
import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import SECONDS

import fastbp
from fastbp.basis import writing

posix = pytest.mark.skipif(os.name != "posix", reason="links, modes and pipes as POSIX has them")


def network(n=2):
    return fastbp.Network([n, 1], loss="huber", backend="numpy", seed=0)


def save(path):
    network().save(path)


def to_onnx(path):
    pytest.importorskip("onnx")
    network().to_onnx(path)


def to_c(path):
    """Writes network.h as that path."""
    path = Path(path)
    network().to_c(path.parent, path.stem)


def plot(path):
    pytest.importorskip("matplotlib")
    result = fastbp.study.compare.BackendResult("numpy", "", *[1.0] * 7)
    fastbp.study.compare.Comparison("a problem", [result], {}).plot(path)


WRITERS = {save: "net.safetensors", to_onnx: "net.onnx", to_c: "net.h", plot: "net.png"}


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def writer(request):
    return request.param


@pytest.fixture
def path(tmp_path, writer):
    return tmp_path / WRITERS[writer]


def fresh(writer, tmp_path):
    """What a writer writes where nothing was."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    writer(folder / WRITERS[writer])
    return (folder / WRITERS[writer]).read_bytes()


# The old file or the new one.


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(writer, path, fails, monkeypatch):
    path.write_bytes(b"old")
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(os, fails, lambda *handle: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match=r"No space left on device: '.*net\.\w+'$"):
        writer(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


@posix
@pytest.mark.serial
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on sizes of files is the disk that any user can fill."""
    files = ["net.safetensors", "net.onnx", "net.h", "net.c", "net_test.c"]
    for name in files:
        (tmp_path / name).write_bytes(b"old")
    code = """
import contextlib, resource, signal
import fastbp
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
net = fastbp.Network([200, 100, 1], loss="huber", backend="numpy")
import safetensors.numpy
import onnx
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for write in (net.save, net.to_onnx):
    try:
        write("net." + {"save": "safetensors", "to_onnx": "onnx"}[write.__name__])
    except OSError as error:
        print(error.filename)
try:
    net.to_c(".", "net")
except OSError as error:
    print(error.filename)
"""
    pytest.importorskip("onnx")
    paths = [str(Path(fastbp.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[:2] == ["net.safetensors", "net.onnx"] and said[2].startswith("net")
    assert sorted(os.listdir(tmp_path)) == sorted(files)
    assert {(tmp_path / name).read_bytes() for name in files} == {b"old"}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("there", [True, False])
def test_of_several_files_all_are_replaced_or_none(tmp_path, monkeypatch, interruption, there):
    first, second = tmp_path / "net.h", tmp_path / "net.c"
    second.write_bytes(b"old")
    if there:
        first.write_bytes(b"old")
    before, replace, calls = sorted(os.listdir(tmp_path)), os.replace, []

    def fails_at_the_second(*names):
        calls.append(names)
        if len(calls) == 2:
            raise interruption
        replace(*names)

    monkeypatch.setattr(os, "replace", fails_at_the_second)
    with pytest.raises(interruption):
        writing.write_all({first: b"new", second: b"new"})
    assert sorted(os.listdir(tmp_path)) == before
    assert {(tmp_path / name).read_bytes() for name in before} == {b"old"}
    writing.write_all({first: b"new", second: b"new"})
    assert first.read_bytes() == second.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["net.c", "net.h"]


def test_writers_at_the_same_time(tmp_path):
    """Whoever is last, the file is one of them, and whole."""
    path = tmp_path / "net"
    contents = [bytes([i]) * 100_000 for i in range(4)]
    threads = [
        threading.Thread(target=lambda c=content: [writing.write(path, c) for _ in range(10)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(FileNotFoundError):
            assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["net"]


def test_a_long_name(tmp_path):
    """As long as the file system takes."""
    path = tmp_path / ("ü" * 121 + ".safetensors")
    save(path)
    save(path)
    assert os.listdir(tmp_path) == [path.name]


# Links, owners, modes.


@posix
@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(writer, path, tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / path.name
    if there:
        target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("elsewhere", path.name))
    path.symlink_to("link")
    writer(path)
    assert os.readlink(path) == "link"
    assert os.readlink(tmp_path / "link") == os.path.join("elsewhere", path.name)
    assert target.read_bytes() == fresh(writer, tmp_path)
    assert os.listdir(target.parent) == [path.name]


@posix
def test_a_circle_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        save(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_mode_stays(writer, path, mode):
    path.write_bytes(b"old")
    path.chmod(mode)
    writer(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() != b"old"


@posix
@pytest.mark.serial
def test_a_new_file_has_the_mode_of_any_new_file(writer, path):
    before = os.umask(0o027)
    try:
        writer(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_what_few_may_read_is_never_readable_for_more(tmp_path, monkeypatch):
    path, seen = tmp_path / "net", []
    path.write_bytes(b"old")
    path.chmod(0o600)
    fsync = os.fsync

    def look(handle):
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", look)
    monkeypatch.setattr(os, "chmod", lambda *_: None)
    save(path)
    assert seen[0] == 0o600


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="takes root")
def test_the_owner_stays(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(b"old")
    os.chown(path, 4321, 1234)
    path.chmod(0o640)
    save(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, 1234, 0o640)


@posix
def test_another_group_gets_no_more_than_all(tmp_path, monkeypatch):
    """Where the group cannot be kept."""
    path = tmp_path / "net"
    path.write_bytes(b"old")
    path.chmod(0o664)
    others = os.stat_result([*path.stat()[:4], 4321, 1234, *path.stat()[6:10]])

    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    temporary = tmp_path / "temporary"
    temporary.write_bytes(b"")
    writing._take_over(temporary, path, others)
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o644


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes")
def test_attributes_stay(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    save(path)
    assert os.getxattr(path, "user.note") == b"mine"


@posix
def test_a_second_name_keeps_the_old_file(path, writer):
    path.write_bytes(b"old")
    other = path.with_name("other")
    os.link(path, other)
    writer(path)
    assert other.read_bytes() == b"old" != path.read_bytes()


# What is not a regular file.


@posix
@pytest.mark.serial
def test_a_pipe_is_written_into(writer, path, tmp_path):
    expected, read = fresh(writer, tmp_path), []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    writer(path)
    reader.join(SECONDS)
    assert read == [expected]
    assert stat.S_ISFIFO(path.stat().st_mode)


@posix
def test_a_device_is_written_into(tmp_path):
    """Behind a link, too: should it be replaced, then not the device itself."""
    for name in ("null", "full"):
        (tmp_path / name).symlink_to(f"/dev/{name}")
    save(tmp_path / "null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left on device"):
            save(tmp_path / "full")
        assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["full", "null"]


@posix
@pytest.mark.serial
@pytest.mark.parametrize("to", ["pipe", "file"])
def test_standard_output(tmp_path, to):
    """It is a link to a pipe or to a file, with what was printed before."""
    if not os.path.exists("/dev/stdout"):
        pytest.skip("there is no /dev/stdout")
    code = (
        "from fastbp.basis import writing; print('before');"
        "writing.write('/dev/stdout', b'content\\n');"
        "print('behind')"
    )
    paths = [str(Path(fastbp.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with open(tmp_path / "out", "w+b") as out:
        stdout = subprocess.PIPE if to == "pipe" else out
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, env=environment)
        out.seek(0)
        assert (done.stdout or out.read()) == b"before\ncontent\nbehind\n"
    assert done.returncode == 0
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files have no names")
def test_a_file_without_a_name(tmp_path):
    with open(tmp_path / "file", "w+b") as file:
        os.unlink(tmp_path / "file")
        writing.write(f"/proc/self/fd/{file.fileno()}", b"content")
        file.seek(0)
        assert file.read() == b"content"
    assert os.listdir(tmp_path) == []


# What cannot be written.


def test_folders_are_refused(tmp_path):
    for name in (tmp_path, f"{tmp_path}/", f"{tmp_path / 'new'}/", ""):
        with pytest.raises(IsADirectoryError, match="folder, not a file"):
            save(name)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder .*none") as caught:
        save(os.path.join("none", "net"))
    assert caught.value.filename == os.path.join("none", "net")
    if os.name == "posix":
        Path("link").symlink_to("none/net")
        with pytest.raises(FileNotFoundError, match="no folder .*none"):
            save("link")
    Path("file").write_bytes(b"old")
    with pytest.raises(OSError):
        save(os.path.join("file", "net"))


def test_a_file_that_is_read_only(writer, path):
    """For root, too, whom nothing else would stop."""
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"read-only: .*net\.\w+"):
        writer(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]
    path.chmod(0o644)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or not os.geteuid(), reason="root may")
def test_a_folder_that_is_read_only(path, writer):
    path.write_bytes(b"old")
    path.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="no permission to write in the folder"):
            writer(path)
    finally:
        path.parent.chmod(0o755)
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no sockets in folders")
def test_a_socket_is_refused(tmp_path, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("net")
        with pytest.raises(OSError, match="to a disk or a socket: 'net'"):
            save("net")


def test_on_windows_there_are_no_owners(tmp_path, monkeypatch):
    for name in ("chown", "fchown", "listxattr", "getxattr", "setxattr"):
        monkeypatch.delattr(os, name, raising=False)
    path = tmp_path / "net"
    for _ in range(2):
        save(path)
    assert fastbp.Network.load(path).layout.sizes == (2, 1)


# Pictures.


def test_pictures_say_who_drew_them(tmp_path):
    """By their endings; and without one they are called .png, as matplotlib does."""
    pytest.importorskip("matplotlib")
    for ending, mark in ((".png", b"Software\0fastbp"), (".svg", b"fastbp"), (".PDF", b"(fastbp)")):
        plot(tmp_path / f"picture{ending}")
        assert mark in (tmp_path / f"picture{ending}").read_bytes()
    plot(tmp_path / "other")
    assert (tmp_path / "other.png").read_bytes().startswith(b"\x89PNG")
    plot(tmp_path / "picture.jpg")
    assert (tmp_path / "picture.jpg").read_bytes().startswith(b"\xff\xd8")


def test_onnx_has_the_bytes_that_onnx_writes(tmp_path):
    onnx = pytest.importorskip("onnx")
    to_onnx(tmp_path / "net.onnx")
    buffer = io.BytesIO()
    onnx.save(onnx.load(tmp_path / "net.onnx"), buffer)
    assert (tmp_path / "net.onnx").read_bytes() == buffer.getvalue()


def test_weights_survive(tmp_path):
    """Over an old file, through a link."""
    net = network(300)
    path = tmp_path / "net"
    path.write_bytes(b"x" * 10_000_000)
    net.save(path)
    assert np.array_equal(fastbp.Network.load(path).weights[0], net.weights[0])
