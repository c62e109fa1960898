"""Options of every command: what cannot be meant is one sentence with status 2, and nothing is done."""

from pathlib import Path

from tests.support.harness import TODAY, Harness

ID = "100000000001"
SINCE = ("changes", "--since", f"{TODAY}")
PLAN = ("planned", "add", "--account", ID, "--from", f"{TODAY}", "--to", f"{TODAY}")
RESOURCES = [("resources", command) for command in ("list", "stats", "export")]
TEXTS = [
    *((*command, option) for command in RESOURCES for option in ("--tag", "--missing-tag", "--type")),
    *((*RESOURCES[0], option) for option in ("--region", "--service")),
    (*SINCE, "--service"),
    ("arrival", "--service"),
    ("events", "list", "--sink"),
    ("events", "replay", "--state", "dead", "--sink"),
    ("events", "discard", "--yes"),
    ("events", "test"),
    (*PLAN, "--reason"),
    (*PLAN, "--reason", "r", "--service"),
    (*PLAN, "--reason", "r", "--author"),
    ("anomalies", "dismiss", "5e5909ac", "--reason"),
    ("anomalies", "expect", "5e5909ac", "--as-of-now", "--reason"),
]
DAYS = [
    ("collect", "--date"),
    ("collect", "--from"),
    ("events", "list", "--since"),
    ("events", "replay", "--since"),
    ("anomalies", "list", "--since"),
    ("changes", "--since"),
    ("costs", "--as-of"),
    ("backtest", "--from"),
    ("anomalies", "import-aws", "--from"),
    ("anomalies", "expect", "5e5909ac", "--reason", "r", "--until"),
    ("planned", "add", "--account", ID, "--reason", "r", "--from"),
    *((*command, option) for command in RESOURCES for option in ("--new-since", "--gone-since")),
]
RANGES = [
    ("collect",),
    ("costs",),
    ("anomalies", "import-aws"),
    ("planned", "add", "--account", ID, "--reason", "r"),
]
NUMBERS = [
    ("collect", "--max-api-cost"),
    ("collect", "--deadline"),
    ("discover", "--deadline"),
    (*SINCE, "--min"),
]
OF_ACCOUNTS = [
    ("events", "list"),
    ("events", "replay"),
    ("anomalies", "list"),
    ("costs",),
    SINCE,
    ("arrival",),
    ("forecast",),
    ("backtest",),
    ("collect", "--dry-run"),
    ("discover", "--dry-run"),
    *RESOURCES,
]


def refused(harness: Harness, *args: str) -> str:
    """Return the only sentence of a command that was used wrongly; it printed nothing else."""
    run = harness.run(*args)
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1), (args, run.stderr)
    sentence = run.sentences[0]
    assert len(sentence) < 300, args
    assert sentence.isprintable(), args
    return sentence


def test_a_text_is_one_printable_line(harness: Harness) -> None:
    """Half a surrogate pair (a byte that is not UTF-8), a NUL, an escape sequence, nothing, far too much."""
    before = harness.contents()
    for command in TEXTS:
        for text in ("", "a\x00b", "\udcff", "a\x1b[31mb", "two\nlines", "x" * 100_000):
            refused(harness, *command, text)
    assert harness.contents() == before


def test_a_day_is_written_in_one_way(harness: Harness) -> None:
    """With ten characters, in every command alike."""
    for command in DAYS:
        for text in ("2025-3-1", "20250301", "\uff12025-03-01", "2025-02-30", "2025-03-01T00:00", "", "nan"):
            assert "is not a day, such as 2026-12-31." in refused(harness, *command, text), command


def test_a_number_is_written_with_digits_and_a_point(harness: Harness) -> None:
    """A deadline that is rounded to 0 would be none; a number without end is none that a database knows."""
    for command in NUMBERS:
        for text in ("1e-400", "1_000", "٣", "1E+1000000000", "9" * 4000, "+1", " 1"):
            refused(harness, *command, text)


def test_a_day_is_one_that_the_database_holds(harness: Harness) -> None:
    """Of the first and the last of the calendar there is no day before or after; nothing is asked of AWS."""
    for command in DAYS:
        for text in ("0001-01-01", "1999-12-31", "3000-01-01", "9999-12-31"):
            assert f"{text} is not a day from 2000-01-01 to 2999-12-31." in refused(harness, *command, text)


def test_a_csv_without_rows_has_its_header(harness: Harness) -> None:
    """A program that reads it finds the columns, also before the first run."""
    for command in (("forecast",), ("arrival",), ("costs",), ("changes", "--since", "2025-03-01")):
        run = harness.run(*command, "--output", "csv")
        (header,) = run.stdout.splitlines()
        assert header.count(",") >= 6, command


def test_days_in_the_wrong_order_are_one_sentence(harness: Harness) -> None:
    """The same one in every command that takes a range of days."""
    for command in RANGES:
        sentence = refused(harness, *command, "--from", "2025-03-02", "--to", "2025-03-01")
        assert sentence == "--to 2025-03-01 is before --from 2025-03-02.", command


def test_an_account_that_is_not_registered_is_named(harness: Harness) -> None:
    """A mistyped id must not look like an account of which there is nothing."""
    for command in OF_ACCOUNTS:
        sentence = refused(harness, *command, "--account", "210987654321")
        assert sentence.startswith("Account 210987654321 is not registered; "), command


def test_a_folder_that_cannot_be_written_is_one_sentence(harness: Harness, tmp_path: Path) -> None:
    """Of a value that is no path, not the whole is shown."""
    (tmp_path / "file").touch()
    for folder in (str(tmp_path / "file"), "/proc/self/no/such", "x" * 999, "x" * 100_000, "\udcff", ""):
        refused(harness, "backtest", "--plot", folder)
