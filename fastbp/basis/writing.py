"""Atomic writing of files: at any time a path holds the whole old file or the whole new one.

All files that fastbp writes for users are written here. The content is written to a temporary
file beside the target, flushed to the disk, and renamed. Links are followed; the new file gets the
permissions of the old one. A pipe or a device cannot be replaced; the content is written into it.
"""

import contextlib
import errno
import os
import secrets
import stat
import sys

from . import checks


def check(path):
    """Raise an error if no file can be written to a path, as far as is known before writing.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    target : str
        The path with all links resolved. The file need not exist.
    status : os.stat_result or None
        Status of the existing file, None if there is none.

    Raises
    ------
    OSError
    """
    name = os.fsdecode(path)
    target = os.path.realpath(name)
    if os.path.isdir(target) or name.endswith(("/", os.sep)):
        raise IsADirectoryError(errno.EISDIR, "this is a folder, not a file to write", name)
    try:
        status = os.stat(name)
    except FileNotFoundError:
        status = None
    if status is not None and (stat.S_ISBLK(status.st_mode) or stat.S_ISSOCK(status.st_mode)):
        raise OSError(errno.EINVAL, "no file can be written to a disk or a socket", name)
    # Root could replace a read-only file, but its permissions say that it should be kept.
    if status and not (status.st_mode & 0o222 and os.access(name, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is read-only", name)
    if _is_replaced(target, status):
        folder = os.path.dirname(target)
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}", name)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(
                errno.EACCES, f"no permission to write in the folder {folder!r}", name
            )
    return target, status


def write(path, content):
    """Write a file atomically, replacing any existing file.

    Parameters
    ----------
    path : str or path-like
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    write_all({checks.path("path", path): content})


def write_all(contents):
    """Write several files: all of them, or none.

    All contents are on the disk before the first file is replaced. If a file cannot be replaced,
    the files replaced before it get their old content back. Only if the process is killed during
    the replacements, some files may be old and others new.

    Parameters
    ----------
    contents : dict of str or path-like to bytes
    """
    places = {path: check(path) for path in contents}
    temporaries, backups, done = {}, {}, []
    try:
        for path, (target, status) in places.items():
            if _is_replaced(target, status):
                temporaries[path] = _name_beside(target)
                with _blaming(path):
                    _write_new(temporaries[path], contents[path], target, status)
                if status is not None and len(contents) > 1:
                    backups[path] = _name_beside(target)
                    with contextlib.suppress(OSError):  # not every file system has hard links
                        os.link(target, backups[path])
        for path, (target, status) in places.items():
            with _blaming(path):
                if path in temporaries:
                    os.replace(temporaries[path], target)
                    done.append(path)
                else:
                    _write_into(path, contents[path], status)
    except BaseException:
        for path in done:
            with contextlib.suppress(OSError):
                if path in backups:
                    os.replace(backups[path], places[path][0])
                elif places[path][1] is None:
                    os.unlink(places[path][0])
        raise
    finally:
        for name in [*temporaries.values(), *backups.values()]:
            with contextlib.suppress(OSError):
                os.unlink(name)
    if os.name == "posix":  # elsewhere folders cannot be opened
        for folder in {os.path.dirname(places[path][0]) for path in done}:
            with contextlib.suppress(OSError):  # the files are written; a folder may be unreadable
                _flush_folder(folder)


def _name_beside(target):
    """Return a hidden name in the same folder, shortened to stay within limits on names."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name[:50]}.{secrets.token_hex(8)}.tmp")


def _is_replaced(target, status):
    """Return whether the target is replaced by a new file, rather than written into."""
    if status is None:
        return True
    # exists: an open file without a name (/dev/fd/3) is regular, too, but cannot be replaced.
    return stat.S_ISREG(status.st_mode) and _standard(status) is None and os.path.exists(target)


def _standard(status):
    """Return the descriptor, 1 or 2, of this process's output that goes to a file; else None."""
    for handle in (1, 2):
        with contextlib.suppress(OSError):  # the stream may be closed
            if os.path.samestat(status, os.fstat(handle)):
                return handle
    return None


def _write_new(temporary, content, target, status):
    def opener(path, flags):
        # A file with restricted permissions must never be readable by others, even for a moment.
        return os.open(path, flags, 0o666 if status is None else 0o600)

    with open(temporary, "xb", opener=opener) as file:
        file.write(content)
        if status is not None:
            _take_over(temporary, target, status)
        file.flush()
        os.fsync(file.fileno())


def _take_over(temporary, target, status):
    """Copy owner, permissions and attributes of a file to another, as far as permitted."""
    mode = stat.S_IMODE(status.st_mode) & 0o777
    new = os.stat(temporary)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.chown(temporary, status.st_uid, status.st_gid)
        except OSError:  # only root may change a file's owner
            try:
                os.chown(temporary, -1, status.st_gid)
            except OSError:
                # The file has another group now; limit that group to the permissions of others.
                mode = mode & 0o707 | (mode & 0o007) << 3
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):  # not every file system has attributes
            for name in os.listxattr(target):
                if name.startswith("user.") or name == "system.posix_acl_access":
                    os.setxattr(temporary, name, os.getxattr(target, name))
    with contextlib.suppress(OSError):  # not every file system has permissions
        os.chmod(temporary, mode)


def _write_into(path, content, status):
    """Write into a pipe, a device, or the file that this process prints to."""
    handle = _standard(status)
    if handle is None:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
    else:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()  # text printed before must come first
        handle = os.dup(handle)
    with open(handle, "wb") as file:
        file.write(content)


def _flush_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _blaming(path):
    """Let errors name the file to be written, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error
