# SPDX-License-Identifier: Apache-2.0
"""What every card can do: verbs on arrays."""

import abc
import collections
import dataclasses
import functools
import threading

import numpy as np

from headrace.errors import CardError, of_item
from headrace.hashing import vectorizer
from headrace.hw.status import Detail, Status
from headrace.items import Take, apart, as_items
from headrace.recipe import Recipe
from headrace.tokenizer import Tokenizer


__all__ = ["Card", "ImagePrep", "Outcome", "Report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """How one item went.

    Members
    -------
    status, detail : Status, Detail
        What the card said. ``OK`` and ``NONE`` if it delivered the result.
    cycles : int
        Cycles of the card's clock from taking the job to its completion; 0 on the CPU.
    fallback : bool
        True if the item was done again on the CPU because the status was not ``OK``.
    error : Exception or None
        Why there is no result.
    """

    status: Status = Status.OK
    detail: Detail = Detail.NONE
    cycles: int = 0
    fallback: bool = False
    error: Exception | None = None

    @classmethod
    def ok(cls, cycles):
        """Of an item that the card delivered. The other members are the class's: a batch has many
        of these."""
        report = object.__new__(cls)
        report.__dict__["cycles"] = cycles
        return report


@dataclasses.dataclass
class Outcome:
    """Result of one item (None if it failed), and how it went."""

    result: np.ndarray | None
    report: Report


class Card(abc.ABC):
    """A card: turns images, pixels and texts into arrays. Made by :func:`headrace.open`.

    All methods may be called from any thread. A card is closed by :meth:`close` or at the end of
    a ``with`` block, and can be pickled: the copy opens a card of the same kind.
    """

    def __init__(self, name, fallback):
        self.name = name
        self.fallback = fallback
        self._closed = False
        self._local = threading.local()
        self._tally_lock = threading.Lock()
        self._tally = collections.Counter()

    # What a kind of card implements

    #: Whether it takes pixels besides encoded files.
    takes_pixels = True

    @abc.abstractmethod
    def _process(self, recipe, items, targets):
        """Do ``recipe`` with each item.

        Parameters
        ----------
        recipe : Recipe
        items : list of memoryview or ndarray
            Encoded images, or pixels; at least one.
        targets : list of ndarray or None
            Where to put the results; None lets the card make an array.

        Returns
        -------
        list of Outcome
        """

    def _hash(self, recipe, items):
        """Features of texts for :class:`headrace.vectorizer.HashingVectorizer`.

        Parameters
        ----------
        recipe : HashingRecipe
        items : list of bytes

        Returns
        -------
        list
            Of each text its columns (ascending) and counts, :class:`Refused` if the card hands it
            back, the exception that it failed with, or None if scikit-learn is to do it from the
            start.
        """
        return [None] * len(items)

    def _tokenize(self, recipe, items):
        """Tokens of texts for :class:`headrace.tokenizer.Tokenizer`.

        Parameters
        ----------
        recipe : TokenRecipe
        items : list of bytes

        Returns
        -------
        list of ndarray of uint32
            None for a text that the library is to do, or the exception that it failed with.
        """
        return [None] * len(items)

    def _close(self):  # noqa: B027
        """Release what the card holds; called once."""

    # Verbs

    def decode_jpeg(self, data, *, out=None, errors="raise"):
        """Decode JPEG files to RGB, as Pillow's ``Image.open(…).convert("RGB")``.

        Parameters
        ----------
        data : file or iterable of files
            Whole files: bytes-like, paths, or binary file objects, which are read from where they
            are. EXIF orientation is not applied.
        out : ndarray of uint8, shape (H, W, 3), or list of such, optional
            Receives the pixels.
        errors : "raise" or "return"
            See :meth:`ImagePrep.__call__`.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3), or list of such
        """
        return self._do(Recipe(), data, Take(files=True, pixels=False), out, errors)

    def resize(self, image, size, filter="bilinear", *, out=None, errors="raise"):
        """Resize pixels, as Pillow's ``Image.resize``.

        Parameters
        ----------
        image : pixels or iterable of pixels
            Arrays of uint8, shape (H, W, 3) or (H, W), as of numpy or of what has DLPack, an array
            interface or a buffer; or PIL images, which are taken as ``convert("RGB")`` has them.
        size : (int, int)
            Height and width of the result, in pixels.
        filter : "bilinear" or "bicubic"
            Pillow's filter of that name.
        out : ndarray of uint8 of the result's shape, or list of such, optional
            Receives the pixels.
        errors : "raise" or "return"
            See :meth:`ImagePrep.__call__`.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3) or (height, width), or list of such

        Raises
        ------
        ValueError
            If the card takes encoded files only.
        """
        if np.ndim(size) != 1:
            raise ValueError(f"Size must be (height, width), not {size!r}")
        if not self.takes_pixels:
            raise ValueError("A card in the network must be given encoded files, not pixels: "
                             "image(resize=…) resizes what is in them")
        recipe = Recipe(resize=size, filter=filter)
        return self._do(recipe, image, Take(files=False, pixels=True, gray=True), out, errors)

    def image(self, resize=None, crop=None, filter="bilinear", *, mean=None, std=None,
              dtype="uint8", layout="CHW"):
        """Prepare images for a network; see :class:`Recipe` for the options.

        Returns
        -------
        ImagePrep
            Call it with files or pixels.
        """
        return ImagePrep(self, Recipe(resize, crop, filter, mean, std, dtype, layout))

    def hashing_vectorizer(self, **options):
        """scikit-learn's ``HashingVectorizer`` on this card; its matrices are equal to the bit.

        Parameters
        ----------
        **options
            scikit-learn's keyword arguments, see
            :class:`headrace.vectorizer.HashingVectorizer`.

        Returns
        -------
        HashingVectorizer
            A scikit-learn transformer.

        Raises
        ------
        ImportError
            Without scikit-learn.
        ValueError
            If the card cannot honour an option.
        """
        return vectorizer(self, **options)

    def tokenizer(self, tokenizer):
        """A Hugging Face tokenizer on this card; its tokens are equal.

        Parameters
        ----------
        tokenizer : path or tokenizers.Tokenizer
            A ``tokenizer.json`` of a WordPiece model with BERT's pipeline.

        Returns
        -------
        Tokenizer

        Raises
        ------
        ImportError
            Without ``tokenizers``.
        ValueError
            If the card cannot do what the tokenizer does.
        """
        return Tokenizer(self, tokenizer)

    # Everything else

    @property
    def last(self):
        """:class:`Report` of each item of this thread's last call, as a list."""
        return getattr(self._local, "last", [])

    def counters(self):
        """What the card has done since it was opened, as a dict.

        ``items``, ``fallbacks`` and ``failures`` are counts; ``statuses`` maps
        ``"STATUS/DETAIL"`` to the number of items that the card did not deliver.
        """
        with self._tally_lock:
            tally = dict(self._tally)
        statuses = {name: tally.pop(name) for name in sorted(tally) if "/" in name}
        return {**{name: tally.get(name, 0) for name in ("items", "fallbacks", "failures")},
                "statuses": statuses}

    @property
    def closed(self):
        """True after :meth:`close`."""
        return self._closed

    def close(self):
        """Release the card. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __reduce__(self):
        from headrace.cards import open
        return functools.partial(open, self.name, fallback=self.fallback), ()

    def __repr__(self):
        state = ", closed" if self._closed else ""
        return f"<headrace card {self.name!r}, fallback={self.fallback!r}{state}>"

    def _note(self, reports):
        """Count the items of a call."""
        self._local.last = reports
        with self._tally_lock:
            self._tally["items"] += len(reports)
            for report in reports:
                if report.status is Status.OK and report.error is None:
                    continue
                self._tally["fallbacks"] += report.fallback
                self._tally["failures"] += report.error is not None
                if report.status is not Status.OK:
                    self._tally[f"{report.status.name}/{report.detail.name}"] += 1

    def _take(self, given, take, errors):
        """Files and pixels that a verb was given, see :func:`as_items`."""
        if errors not in ("raise", "return"):
            raise ValueError(f"Errors must be one of raise, return, not {errors!r}")
        if self._closed:
            raise CardError(f"Card must be open, not closed: {self!r}")
        return as_items(given, take)

    def _do(self, recipe, given, take, out, errors):
        """Result of an item, or list of those of a batch."""
        items, single = self._take(given, take, errors)
        targets = _as_targets(out, len(items), single, recipe.element)
        results = self._results(recipe, apart(items, targets), targets, errors, single)
        return results[0] if single else results

    def _results(self, recipe, items, targets, errors, single):
        """Results of items of which some may be exceptions already."""
        outcomes = [Outcome(None, Report(error=item)) if isinstance(item, Exception) else None
                    for item in items]
        good = [n for n, outcome in enumerate(outcomes) if outcome is None]
        if good:
            done = self._process(recipe, [items[n] for n in good], [targets[n] for n in good])
            for n, outcome in zip(good, done):
                outcomes[n] = outcome
        for n, outcome in enumerate(outcomes):
            report = outcome.report
            if report.error is not None and not single:
                outcome.report = dataclasses.replace(report, error=of_item(report.error, n))
        reports = [outcome.report for outcome in outcomes]
        self._note(reports)
        if errors == "raise":
            for report in reports:
                if report.error is not None:
                    raise report.error
        return [outcome.result if outcome.report.error is None else outcome.report.error
                for outcome in outcomes]


class ImagePrep:
    """A card and a recipe: a function from images to arrays. Made by :meth:`Card.image`.

    Members
    -------
    card : Card
    recipe : Recipe
    shape : tuple of int or None
        Shape of one result, e.g. (3, 224, 224); None if it depends on the image.
    dtype : numpy.dtype
        Of the results. bfloat16 comes as uint16 bit patterns: ``.view(ml_dtypes.bfloat16)``, or
        ``torch.from_numpy(…).view(torch.bfloat16)``.
    """

    def __init__(self, card, recipe):
        self.card = card
        self.recipe = recipe

    @property
    def shape(self):
        return self.recipe.fixed_shape

    @property
    def dtype(self):
        return self.recipe.element

    @property
    def last(self):
        """:class:`Report` of each item of this thread's last call, as a list."""
        return self.card.last

    def __call__(self, items, *, out=None, errors="raise"):
        """Prepare one image or a batch.

        Parameters
        ----------
        items : an item, or an iterable of items
            Encoded files: bytes-like, paths (of any kind, str too), or binary file objects, which
            are read from where they are; EXIF orientation is not applied. Or pixels: arrays of
            uint8, shape (H, W, 3), as of numpy or of what has DLPack, an array interface or a
            buffer, in the host's memory; or PIL images, which are taken as ``convert("RGB")`` has
            them. An array of shape (N, H, W, 3) is a batch. A card in the network takes files only.
        out : ndarray of :attr:`dtype`, shape (N, *shape), or *shape* for a single item, optional
            Receives the results. A list of arrays if :attr:`shape` is None.
        errors : "raise" or "return"
            Every item is done whatever is wrong with the others. Then the first exception is
            raised, or each stands in place of its result. In a batch it has a member ``index``,
            the position of its item; of a :class:`CardError`, all items may have the same one.

        Returns
        -------
        ndarray of shape (N, *shape)
            A list of ndarray if :attr:`shape` is None; for a single item, its array. With
            ``errors="return"`` always a list (for a single item, its array or exception).
        """
        take = Take(files=True, pixels=self.card.takes_pixels)
        items, single = self.card._take(items, take, errors)
        batch = None
        if self.shape is not None and not single:
            batch = _as_batch(out, (len(items), *self.shape), self.dtype)
            targets = list(batch)
            items = apart(items, [out])
        else:
            targets = _as_targets(out, len(items), single, self.dtype)
            items = apart(items, targets)
        results = self.card._results(self.recipe, items, targets, errors, single)
        if single:
            return results[0]
        return results if batch is None or errors == "return" else batch

    def __reduce__(self):
        return ImagePrep, (self.card, self.recipe)

    def __repr__(self):
        return f"<{self.recipe} on {self.card!r}>"


def _as_batch(out, shape, dtype):
    if out is None:
        return np.empty(shape, dtype)
    check_target(out, shape, dtype)
    return out


def _as_targets(out, count, single, dtype):
    if out is None:
        return [None] * count
    targets = [out] if single else list(out)
    if len(targets) != count:
        raise ValueError(f"Out must hold {count} arrays, not {len(targets)}")
    for target in targets:
        if target is not None:
            check_target(target, None, dtype)
    return targets


def check_target(target, shape, dtype):
    """Raise ValueError unless a result of ``shape`` (if given) and ``dtype`` fits ``target``."""
    if not isinstance(target, np.ndarray):
        raise ValueError(f"Out must be an ndarray, not {target!r}")
    if shape is not None and target.shape != tuple(shape):
        raise ValueError(f"Out must be of shape {tuple(shape)}, not {target.shape}")
    if target.dtype != dtype:
        raise ValueError(f"Out must be of type {dtype}, not {target.dtype}")
    if not (target.flags.c_contiguous and target.flags.writeable):
        raise ValueError("Out must be C-contiguous and writable")
