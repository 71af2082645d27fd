# SPDX-License-Identifier: Apache-2.0
"""Values that an object computes once."""

__all__ = ["cached"]


class cached:
    """As ``functools.cached_property``, but without the lock that this has before Python 3.12: a
    thread that holds it at a fork would leave it locked in the child for ever."""

    def __init__(self, function):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        value = self._function(instance)
        instance.__dict__[self._name] = value  # from now on it is found before this
        return value
