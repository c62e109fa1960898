"""Reads files that hold a setting or a secret: small ones, within a time limit, whatever the path names."""

from pathlib import Path

from costbatch.timeout import within

LARGEST_BYTES = 65_536
LIMIT_SECONDS = 10.0


def read_small_file(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: with the rest of a sentence that begins with the file.

    """
    try:
        content = within(LIMIT_SECONDS, lambda: _read(path))
    except TimeoutError:
        raise ValueError(
            f"gave no content within {LIMIT_SECONDS:g} seconds; is it a pipe that nothing writes to?"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise ValueError(f"cannot be read: {reason}.") from None
    check_size(content)
    return content


def check_size(content: bytes) -> None:
    """Raise ValueError if there is more than a setting or a secret can be."""
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES // 1024} KiB, the most that is read.")


def decode_text(content: bytes) -> str:
    """Return the text of a file; a byte order mark, as Windows writes it, is not part of it.

    Raises:
        ValueError: with the rest of a sentence that begins with the file.

    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not a text file in UTF-8.") from None
    if "\0" in text:
        raise ValueError("is not a text file: it holds a NUL.")
    return text


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(LARGEST_BYTES + 1)
