"""The change from an earlier split to a new one: all of it or nothing, also where the run is killed in the middle.

A split is built in a hidden folder within the output, so that its files get to their places by mere renames. There
lie ``new`` (what is still to be moved in) and ``old`` (what was moved out), and while the swap is under way the new
split's manifest: the last rename takes it to the output, and until then the folder tells how to undo everything.
"""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from src.atomic import remove_leftovers
from src.datasets.manifest import BESIDES, FILE_NAME, Manifest, load_manifest, save_manifest
from src.errors import UserError, explain_os_error
from src.locks import hold_lock
from src.progress import say
from src.settings import PARTS, SPLIT_IN_PROGRESS

_LOCK = "lock"
# Comes with the project, or by itself: no content of a data folder.
_NO_CONTENT = {"README.md", ".gitkeep", ".DS_Store"}


def verify_output(output: Path, force: bool) -> Manifest | None:
    """The split that stands at ``output`` and may be replaced, or None where the folder is free.

    Raises:
        UserError: a split without ``force``; other content without a split; a ``split.json`` that names files
            elsewhere.
    """
    if not (output / FILE_NAME).is_file():
        content = next(_content(output), None)
        if content:
            raise UserError(
                f"{output} holds other files ({content}) and no split made by this command; choose another --output"
            )
        return None
    manifest = load_manifest(output)
    if not force:
        raise UserError(f"{output} holds a split already; --force replaces it, --output puts the new one elsewhere")
    verify_entries(output, manifest.files, f"{output / FILE_NAME} lists")
    return manifest


def _content(output: Path) -> Iterator[str]:
    for place, folders, names in os.walk(output):
        top = Path(place) == output
        if top and SPLIT_IN_PROGRESS in folders:
            folders.remove(SPLIT_IN_PROGRESS)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        here = _NO_CONTENT if top else {".DS_Store", ".gitkeep"}
        yield from (name for name in [*names, *links] if name not in here)


def verify_entries(output: Path, files: Iterable[str], what: str) -> None:
    """Raise ``UserError`` unless every entry is a file's place within a part or the masks, through no link."""
    parents = set()
    for name in files:
        path = PurePosixPath(name)
        inside = len(path.parts) >= 2 and path.parts[0] in (*PARTS, *BESIDES) and path.as_posix() == name
        if not inside or ".." in path.parts or "\0" in name or (os.name == "nt" and ("\\" in name or ":" in name)):
            raise UserError(f"{what} {name!r}, which is no place of a split; nothing was removed")
        parents.update(path.parents)
    for parent in sorted(map(str, parents)):
        if os.path.islink(output / parent):
            raise UserError(f"{what} files in {parent}, which is a link to elsewhere; nothing was removed")


@contextlib.contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """The hidden folder within ``output`` to build a split in; afterwards it is gone, as are folders made in vain.

    What a run that was killed left there is put back, or else removed.

    Raises:
        UserError: ``output`` is no folder, cannot be written, or another run is writing it.
    """
    above = next(folder for folder in (output, *output.parents) if os.path.lexists(folder))
    if not above.is_dir():
        where = (
            f"{above} is a file, and {output} would lie below it" if above != output else f"{output} is not a folder"
        )
        raise UserError(f"{where}; choose another --output")
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    scratch = output / SPLIT_IN_PROGRESS
    try:
        if scratch.is_symlink():
            raise UserError(f"{scratch} is a link; remove it")
        with contextlib.ExitStack() as stack:
            stack.callback(_remove_if_empty, scratch)  # last, when the lock is gone
            try:
                what = f"another run is writing {output}"
                stack.enter_context(hold_lock(scratch / _LOCK, what, "take another --output"))
            except OSError as error:  # names a hidden folder that the user never gave
                raise UserError(f"{output}: {explain_os_error(error)}") from error
            try:
                remove_leftovers(output)
                if (scratch / FILE_NAME).exists():
                    with uninterrupted():
                        _undo(scratch, output)
                    say(f"A run that was stopped had left {output} half replaced; the earlier state is back.")
                _clear(scratch)
                yield scratch
            finally:
                _clear(scratch)
    finally:
        for folder in made:
            _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or never made
        folder.rmdir()


def swap_split(scratch: Path, output: Path, manifest: Manifest, previous: Manifest | None) -> None:
    """Put the files of ``scratch``/new in the place of those that ``previous`` lists, and ``split.json`` last.

    Only renames, which Ctrl-C does not stop; where one fails, the earlier split stands as it was. Other files of the
    folder stay.

    Raises:
        UserError: a file of somebody else stands where one of the split belongs.
    """
    old_files = set(previous.files) if previous else set()
    verify_entries(output, manifest.files, "the new split has")
    for name in manifest.files:
        if name not in old_files and os.path.lexists(output / name):
            raise UserError(f"{output / name} is in the way and no file of the earlier split; move it elsewhere")
    new, old = scratch / "new", scratch / "old"
    with uninterrupted():
        try:
            save_manifest(scratch, manifest)
            if previous:
                _move(output / FILE_NAME, old / FILE_NAME)  # without it, what is half done is no split
            for name in sorted(old_files):
                if os.path.islink(output / name) or os.path.isfile(output / name):
                    _move(output / name, old / name)
            _remove_empty(output, old_files)
            for name in manifest.files:
                _move(new / name, output / name)
            _move(scratch / FILE_NAME, output / FILE_NAME)
        except BaseException:
            if (scratch / FILE_NAME).exists():
                _undo(scratch, output)
            raise


def _undo(scratch: Path, output: Path) -> None:
    """Take back a swap, wherever it stopped; may be stopped itself, and begun again.

    Raises:
        UserError: something stands in the way; what could not be put back stays in ``scratch``.
    """
    new, old = scratch / "new", scratch / "old"
    try:
        placed = load_manifest(scratch).files
        earlier = [path.relative_to(old).as_posix() for path in old.rglob("*") if path.is_symlink() or path.is_file()]
        earlier = sorted(earlier, key=lambda name: name == FILE_NAME)  # last, as in the swap
        verify_entries(output, {*placed, *earlier} - {FILE_NAME}, "the stopped run has")
        for name in placed:
            if os.path.lexists(output / name) and not os.path.lexists(new / name):
                _move(output / name, new / name)
        _remove_empty(output, placed)
        for name in earlier:
            if os.path.lexists(output / name):
                raise UserError(f"{output / name} is in the way")
            _move(old / name, output / name)
        (scratch / FILE_NAME).unlink()
    except (OSError, UserError) as error:
        reason = explain_os_error(error) if isinstance(error, OSError) else error
        raise UserError(
            f"the earlier split at {output} could not be put back ({reason}); nothing is lost: its files are in {old}, "
            "and once the cause is mended the same command puts them back"
        ) from error


def _clear(scratch: Path) -> None:
    """Remove all but the lock; nothing where a swap is neither done nor undone."""
    if (scratch / FILE_NAME).exists():
        return
    for path in scratch.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _LOCK:
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and its like are ignored for the second that this takes."""
    kept = {}
    if threading.current_thread() is threading.main_thread():  # others get no signals
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        # None: a handler that is not Python's, which could not be set again
        kept = {n: signal.signal(n, signal.SIG_IGN) for n in numbers if signal.getsignal(n) is not None}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(source, target)


def _remove_empty(output: Path, files: Iterable[str]) -> None:
    """Remove the folders of ``files`` that have become empty, from the innermost."""
    folders = {parent for name in files for parent in PurePosixPath(name).parents if parent.parts}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        _remove_if_empty(output / folder)
