"""Compares the detectors on labelled daily cost: python -m benchmarks.anomaly [FOLDER ...] [--accounts N]."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.anomaly import worlds
from benchmarks.anomaly.dataset import Account, load
from benchmarks.anomaly.forecasters import SLOW_RULES
from benchmarks.anomaly.rules import RULES
from benchmarks.anomaly.scoring import measure, score

ALL_RULES = RULES | SLOW_RULES
HEAD = (
    "| data | detector | F1 (90 %) | precision | recall | false alarms / account-month | $ recall | CPU ms |"
)


def data_sets(arguments: argparse.Namespace) -> Iterator[tuple[str, Sequence[Account]]]:
    """Return the folders of the command line, or without any the families made here."""
    for folder in arguments.folders:
        yield folder.name, load(folder)[: arguments.accounts]
    if not arguments.folders:
        for family in ("walk", "web"):
            for seed in arguments.seeds:
                yield f"{family} {seed}", worlds.accounts(family, seed, arguments.accounts)


def main(words: Sequence[str] | None = None) -> None:
    """Print one row per data set and detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="data sets; without any, two families are made")
    parser.add_argument("--accounts", type=int, default=24, help="at most this many of each data set")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--slow-accounts", type=int, default=2, help="as many for the slow methods")
    parser.add_argument("--only", nargs="*", choices=ALL_RULES, default=list(ALL_RULES))
    arguments = parser.parse_args(words)
    print(HEAD, "|---|---|---|---|---|---|---|---|", sep="\n")
    for name, accounts in data_sets(arguments):
        for rule in arguments.only:
            some = accounts[: arguments.slow_accounts] if rule in SLOW_RULES else accounts
            each = score([measure(account, ALL_RULES[rule]) for account in some])
            interval = f"{each.f1:.2f} ({each.low:.2f} to {each.high:.2f})"
            quality = f"{each.precision:.2f} | {each.recall:.2f} | {each.false_per_month:.2f}"
            cost = f"{each.money_recall:.2f} | {each.milliseconds:.3f}"
            print(f"| {name} | {rule} | {interval} | {quality} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
