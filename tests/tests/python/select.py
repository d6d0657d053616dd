"""Selects rows of `sonde replay --format csv` by conditions in Python: knows nothing of Sonde's expressions.

select.py ROWS CONDITIONS: a file of comma-separated values, and a file with a Python expression a line. Prints a line for each row: the
numbers of the conditions that hold. A condition that compares what was not measured is false, which is what the functions below do.
"""

import csv
import ipaddress
import re
import sys
from functools import lru_cache


def nanoseconds(text):
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=None)
def address(text):
    return ipaddress.ip_address(text)


@lru_cache(maxsize=None)
def network(text):
    return ipaddress.ip_network(text, strict=False)


class Row:
    """Values of a row by column: lists, empty where nothing was measured."""

    def __init__(self, row):
        self.row = row

    def numbers(self, *columns):
        return [int(self.row[column]) for column in columns if self.row[column] != ""]

    def ports(self):
        return self.numbers("sport", "dport") if self.row["proto"] in ("6", "17", "33", "132", "136") else []

    def total(self, *columns):
        return [sum(self.numbers(*columns))]

    def flags(self):
        forward, reverse = self.numbers("tcp_flags_fwd", "tcp_flags_rev")
        return [forward | reverse]

    def duration(self):
        return [nanoseconds(self.row["end"]) - nanoseconds(self.row["start"])]

    def time(self, column):
        return [nanoseconds(self.row[column])]

    def addresses(self, *columns):
        return [address(self.row[column]) for column in columns]

    def words(self, column):
        return [word for word in self.row[column].split("/") if word]


def within(prefixes):
    networks = [network(prefix) for prefix in prefixes]
    return lambda value: any(value.version == n.version and value in n for n in networks)


def pattern(regex, flags=0):
    compiled = re.compile(regex, flags)
    return lambda value: compiled.search(value) is not None


def some(values, holds):
    return any(holds(value) for value in values)


def none(values, holds):
    return bool(values) and not any(holds(value) for value in values)


def main(rows, conditions):
    with open(conditions, encoding="utf-8") as file:
        compiled = [compile(line, conditions, "eval") for line in file]
    names = {"some": some, "none": none, "within": within, "pattern": pattern, "IGNORECASE": re.IGNORECASE}
    # A lambda looks its names up where it was made.
    with open(rows, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names["r"] = Row(row)
            print(*(number for number, condition in enumerate(compiled) if eval(condition, names)))


main(*sys.argv[1:])
