"""Reads small files, with a limit on size and time; and names a file or folder that cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from costbatch.domain.excerpt import path_excerpt
from costbatch.errors import ConfigError
from costbatch.timeout import within

LARGEST_BYTES = 65_536
LIMIT_SECONDS = 10.0


def read_small_file(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: the end of a sentence that begins with the file.

    """

    def read() -> bytes:
        with Path(path).open("rb") as file:
            # One byte more than is allowed, to see that there is more.
            return file.read(LARGEST_BYTES + 1)

    try:
        content = within(LIMIT_SECONDS, read)
    except TimeoutError:
        raise ValueError(
            f"could not be read within {LIMIT_SECONDS:g} seconds; is it a pipe without a writer?"
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {why_not_opened(error)}.") from None
    check_size(content)
    return content


def why_not_opened(error: OSError | ValueError) -> str:
    """Return, for a sentence, why a path could not be opened; a ValueError says that it is no path at all."""
    return getattr(error, "strerror", None) or "the path is not valid"


@contextmanager
def writing(what: str, path: Path) -> Iterator[None]:
    """Write to a path in the block; raise ConfigError if it cannot be written. what: file or folder."""
    try:
        yield
    except (OSError, ValueError) as error:
        shown, why = path_excerpt(str(path)), why_not_opened(error)
        raise ConfigError(f"The {what} {shown} cannot be written: {why}.") from None


def check_size(content: bytes) -> None:
    """Raise ValueError if the content is larger than any setting or secret."""
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES // 1024} KiB, the limit.")


def decode_text(content: bytes) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        ValueError: the end of a sentence that begins with the file.

    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not a text file in UTF-8.") from None
    if "\0" in text:
        raise ValueError("is not a text file: it contains a NUL character.")
    return text
