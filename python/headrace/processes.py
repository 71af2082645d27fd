# SPDX-License-Identifier: Apache-2.0
"""Cards in forked processes, and at the end of the interpreter.

A fork copies a card's memory, its locks as other threads hold them, and its connections. The copy
must use none of them: it opens its own when it needs them. ``Card`` says what each kind does.
"""

import atexit
import os
import threading
import weakref


__all__ = ["ProcessLock", "watch"]


#: Seconds for which the end of the interpreter waits for a thread to leave a card.
PARTING = 10.0

_watched, _locks = weakref.WeakSet(), weakref.WeakSet()


class ProcessLock:
    """A lock that is free in a forked process, whoever held it at the fork. Used by ``with``.

    Parameters
    ----------
    make
        Makes the lock itself: ``threading.Lock`` or ``threading.RLock``.
    """

    def __init__(self, make=threading.Lock):
        self._make = make
        self._process = os.getpid()
        self._lock = make()
        _locks.add(self)

    def renew(self):
        """In a forked process: be free."""
        if self._process != os.getpid():
            self._lock = self._make()
            self._process = os.getpid()

    def acquire(self, timeout=-1):
        """Take the lock; whether that succeeded within so many seconds, -1 being no limit."""
        self.renew()  # where the fork was none of Python's
        return self._lock.acquire(timeout=timeout)

    def release(self):
        """Give the lock back."""
        self._lock.release()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *exception):
        self.release()


def watch(thing):
    """Have ``thing`` told of forks and of the end of the interpreter.

    Parameters
    ----------
    thing
        ``thing._part()`` is called in a forked process, where it must let go of what is the
        parent's. ``thing._finish(seconds)`` is called when the interpreter ends, and must return
        when no thread is inside of the card's own code any more, or after that time.
    """
    _watched.add(thing)


def _each(function):
    """Call a function with everything that is watched, whatever happens with some of it."""
    failed = None
    for thing in list(_watched):
        try:
            function(thing)
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _part():
    for lock in list(_locks):  # as long as there is one thread
        lock.renew()
    _each(lambda thing: thing._part())


def _finish():
    _each(lambda thing: thing._finish(PARTING))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_part)
# A daemon thread that comes back from C++ when there is no interpreter any more ends the process
# with an abort.
atexit.register(_finish)
