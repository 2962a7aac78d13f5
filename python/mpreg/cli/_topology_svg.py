"""The picture of a cluster: nodes on a circle, a line for each connection, the slower the redder.

One self-contained SVG with its colours for light and dark surroundings. Everything that came from elsewhere is escaped.
"""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Final

from mpreg.cli._top import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mpreg.cli._topology_view import Place, Topology

_RADIUS_MIN: Final = 130.0
# Between two nodes on the circle, so that their names do not touch.
_ARC: Final = 22.0
_CHAR: Final = 6.7
_LABEL_MAX: Final = 34
_MARGIN: Final = 18.0
_HEAD: Final = 46.0
# Names stand upright beside so few nodes; beside more they point away from the middle.
_UPRIGHT_MAX: Final = 12
# From here on a round trip is told by its colour.
_SLOW: Final = (("near", 0.002), ("regional", 0.02), ("far", math.inf))
_LEGEND: Final = (
    "ring: entry node; red edge: no answer; lines: round trip below 2 ms, below 20 ms, more; dashed: not known"
)
# What no XML document may contain, escaped or not.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE: Final = """
:root { --paper: #ffffff; --ink: #1f2328; --quiet: #57606a; --near: #8fb8de; --regional: #d9a441; --far: #d1495b;
  --alive: #2d8a5f; --busy: #d9a441; --suspect: #e5823b; --gone: #9aa4af; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16191d; --ink: #e6edf3; --quiet: #9aa4af; --near: #4d7fae; --regional: #b58a35; --far: #c04a5a;
    --alive: #3fa374; --busy: #c99a3e; --suspect: #d0743a; --gone: #5b646d; }
}
text { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink); }
.quiet { fill: var(--quiet); }
.paper { fill: var(--paper); }
.link { stroke-width: 1.2; fill: none; }
.near { stroke: var(--near); } .regional { stroke: var(--regional); } .far { stroke: var(--far); }
.unknown { stroke: var(--near); stroke-dasharray: 3 3; }
.alive { fill: var(--alive); } .busy { fill: var(--busy); } .suspect { fill: var(--suspect); }
.down, .left { fill: var(--gone); }
.silent { stroke: var(--far); stroke-width: 2; }
.entry { fill: none; stroke: var(--ink); stroke-width: 1.5; }
"""


def drawing(seen: Topology) -> str:
    """The SVG of a cluster."""
    count = max(len(seen.places), 1)
    radius = max(_RADIUS_MIN, _ARC * count / math.tau)
    label = min(max((len(place.id) for place in seen.places), default=0), _LABEL_MAX) * _CHAR + 16
    upright = count <= _UPRIGHT_MAX
    width = 2 * (radius + label + _MARGIN)
    height = 2 * (radius + (40 if upright else label) + _MARGIN) + _HEAD
    middle_x, middle_y = width / 2, _HEAD + (height - _HEAD) / 2
    at = [
        (middle_x + radius * math.sin(angle), middle_y - radius * math.cos(angle), angle)
        for angle in (math.tau * index / count for index in range(count))
    ]
    size = f'width="{width:.0f}" height="{height:.0f}"'
    summary = _text(seen.summary().removesuffix(" * = entry node"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {size} role="img">',
            f"<title>{summary}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" {size}/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 4}">{summary}</text>',
            f'<text class="quiet" x="{_MARGIN}" y="{_MARGIN + 20}">{_LEGEND}</text>',
            *_links(seen, at),
            *(_node(place, *at[index], upright=upright) for index, place in enumerate(seen.places)),
            "</svg>",
        ]
    )


def _links(seen: Topology, at: list[tuple[float, float, float]]) -> Iterable[str]:
    # Many lines are a texture, few are a drawing.
    opacity = min(1.0, max(0.18, 60 / max(len(seen.links), 1)))
    for (a, b), trip in sorted(seen.links.items()):
        (x1, y1, _), (x2, y2, _) = at[a - 1], at[b - 1]
        kind = "unknown" if trip is None else next(name for name, bound in _SLOW if trip < bound)
        shown = "round trip not known" if trip is None else f"round trip {duration(trip)}"
        about = _text(f"{seen.places[a - 1].id} - {seen.places[b - 1].id}: {shown}")
        yield (
            f'<line class="link {kind}" opacity="{opacity:.2f}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}">'
            f"<title>{about}</title></line>"
        )


def _node(place: Place, x: float, y: float, angle: float, *, upright: bool) -> str:
    silent = " silent" if place.error is not None and place.is_living else ""
    ring = f'<circle class="entry" cx="{x:.1f}" cy="{y:.1f}" r="11"/>' if place.is_entry else ""
    shown = place.id if len(place.id) <= _LABEL_MAX else f"…{place.id[-_LABEL_MAX + 1 :]}"
    return (
        f'<g class="node"><title>{_text(_about(place))}</title>{ring}'
        f'<circle class="{_text(place.state)}{silent}" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
        f"{_label(_text(shown), x, y, angle, upright=upright)}</g>"
    )


def _label(shown: str, x: float, y: float, angle: float, *, upright: bool) -> str:
    if upright:
        sideways, down = math.sin(angle), -math.cos(angle)
        anchor = "middle" if abs(sideways) < 0.3 else ("start" if sideways > 0 else "end")  # noqa: PLR2004 - nearly upright
        return f'<text x="{x + 15 * sideways:.1f}" y="{y + 4 + 20 * down:.1f}" text-anchor="{anchor}">{shown}</text>'
    turn = math.degrees(angle) - 90
    flipped = 90 < turn % 360 < 270  # noqa: PLR2004 - on the left side, where it would stand on its head
    turn, anchor, beside = (turn + 180, "end", -14) if flipped else (turn, "start", 14)
    return (
        f'<text transform="translate({x:.1f},{y:.1f}) rotate({turn:.1f})" x="{beside}" y="4" '
        f'text-anchor="{anchor}">{shown}</text>'
    )


def _about(place: Place) -> str:
    lines = [f"{place.id}: {place.shown_state}", place.address, f"functions: {' '.join(place.functions) or 'none'}"]
    if place.resources:
        lines.append(f"resources: {' '.join(place.resources)}")
    if place.error is not None:
        lines.append(place.error)
    else:
        lines.append(f"{place.clients} clients, {place.in_flight} calls in flight, {place.queued} waiting")
    return "\n".join(filter(None, lines))


def _text(text: str) -> str:
    return html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))
