"""Reads files that contain a setting or a secret, with a limit on size and time."""

from pathlib import Path

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
