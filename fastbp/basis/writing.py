"""Files written whole: at any moment there is the old file or the new one.

Everything that fastbp writes for users goes through here. The content is written to a temporary
file beside the target, flushed to the disk, and renamed. Links are followed; the new file has
the permissions of the old one. A pipe or a device cannot be replaced, and is written into.
"""

import contextlib
import errno
import os
import secrets
import stat
import sys


def check(path):
    """Refuse a path to which no file can be written, as far as that shows before writing.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    target : str
        The file that is meant, behind links. It need not exist.
    status : os.stat_result or None
        Of what is there.

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
    # Root may write to read-only files, too, but whoever made it so wants to keep it.
    if status and not (status.st_mode & 0o222 and os.access(name, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is read-only", name)
    if _is_replaced(target, status):
        folder = os.path.dirname(target)
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, f"there is no such folder as {folder!r}", name)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(
                errno.EACCES, f"no permission to write in the folder {folder!r}", name
            )
    return target, status


def write(path, content):
    """Put a file of that content in the place of `path`, at once.

    Parameters
    ----------
    path : str or path-like
    content : bytes

    Raises
    ------
    OSError
        If it cannot be written; a file that was there is as before.
    """
    write_all({os.fsdecode(path): content})


def write_all(contents):
    """Write several files: all of them, or none.

    None is replaced before all are on the disk, and if one cannot be replaced, those before it
    get their old content back. Only a process that is killed just then leaves old beside new.

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
            with contextlib.suppress(OSError):  # the files are there; some folders cannot be read
                _flush_folder(folder)


def _name_beside(target):
    """A hidden name in the same folder; it is cut, so that the ending makes none too long."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name[:50]}.{secrets.token_hex(8)}.tmp")


def _is_replaced(target, status):
    """Whether a new file takes the place of what is there, if anything."""
    if status is None:
        return True
    # An open file that has no name any more (/dev/fd/3) is a regular one, too.
    return stat.S_ISREG(status.st_mode) and _standard(status) is None and os.path.exists(target)


def _standard(status):
    """The stream of this process, 1 or 2, that goes to that file; None if neither does."""
    for handle in (1, 2):
        with contextlib.suppress(OSError):  # it may be closed
            if os.path.samestat(status, os.fstat(handle)):
                return handle
    return None


def _write_new(temporary, content, target, status):
    def opener(path, flags):
        # What few may read is at no time readable for more.
        return os.open(path, flags, 0o666 if status is None else 0o600)

    with open(temporary, "xb", opener=opener) as file:
        file.write(content)
        if status is not None:
            _take_over(temporary, target, status)
        file.flush()
        os.fsync(file.fileno())


def _take_over(temporary, target, status):
    """Give a file the owner, permissions and attributes of another one, as far as we may."""
    mode = stat.S_IMODE(status.st_mode) & 0o777
    new = os.stat(temporary)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.chown(temporary, status.st_uid, status.st_gid)
        except OSError:  # only root may give files away
            try:
                os.chown(temporary, -1, status.st_gid)
            except OSError:
                mode = mode & 0o707 | (mode & 0o007) << 3  # another group may do what all may
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):  # not every file system has them
            for name in os.listxattr(target):
                if name.startswith("user.") or name == "system.posix_acl_access":
                    os.setxattr(temporary, name, os.getxattr(target, name))
    with contextlib.suppress(OSError):  # nor permissions
        os.chmod(temporary, mode)


def _write_into(path, content, status):
    """Write to a pipe or a device, or where this process prints."""
    handle = _standard(status)
    if handle is None:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
    else:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()  # so that what was printed comes first
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
    """Errors name the file that was to be written, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error
