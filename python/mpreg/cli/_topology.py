"""`mpreg topology`: who is in the cluster, who is connected to whom, and who offers what."""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path

import click

import mpreg
from mpreg.cli._options import as_json, connection
from mpreg.cli._output import note, show_json, show_lines, show_table
from mpreg.cli._top import duration
from mpreg.cli._topology_view import Topology, ranges

_NAMES_SHOWN = 4


@click.command()
@click.option(
    "--svg", "picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it there, too."
)
@as_json
@connection
def topology(client: mpreg.SyncClient, *, picture: Path | None, json: bool) -> None:
    """Show the cluster: its nodes, who is connected to whom with which round trip, what each offers.

    Each node is asked for its connections; of one that does not answer, those are shown that others have to it.
    """
    seen = Topology.of(client.entry, client.members(), client.catalog(), client.stats())
    if picture is not None:
        from mpreg.cli._topology_svg import drawing

        try:
            picture.write_text(drawing(seen))
        except OSError as error:
            raise mpreg.MpregError(f"the picture cannot be written to {picture}: {error.strerror}") from None
    if json:
        show_json(seen.as_dict())
    else:
        _show(seen)
    if picture is not None:
        note(f"The picture: {picture}")


def _show(seen: Topology) -> None:
    note(seen.summary())
    show_table(
        ("#", "NODE", "STATE", "CONNECTED TO", "ROUND TRIP", "CLIENTS", "FUNCTIONS", "RESOURCES"),
        [
            (
                f"{number}{'*' if place.is_entry else ''}",
                place.id,
                place.shown_state,
                "all" if seen.meets_all(number) else ranges(sorted(seen.neighbours(number))),
                _round_trip(seen, number),
                str(place.clients) if place.error is None else "-",
                _names(place.functions),
                _names(place.resources),
            )
            for number, place in enumerate(seen.places, 1)
        ],
    )
    if sys.stdout.isatty() and not seen.is_full:
        matrix = seen.matrix()
        if len(matrix[0]) <= shutil.get_terminal_size().columns:
            show_lines("", *matrix)
    for place in seen.places:
        if place.error is not None and place.is_living:
            note(f"{place.id} does not answer: {place.error}")


def _round_trip(seen: Topology, number: int) -> str:
    """What half of its connections do not take longer than."""
    known = [trip for trip in (seen.round_trip(number, other) for other in seen.neighbours(number)) if trip]
    return duration(statistics.median_low(known)) if known else "-"


def _names(names: tuple[str, ...]) -> str:
    shown, more = names[:_NAMES_SHOWN], len(names) - _NAMES_SHOWN
    return " ".join(shown) + (f" +{more}" if more > 0 else "") or "-"
