"""The drawing of a run: lanes are nodes, bars are steps, arrows lead from a result to the step that waited for it.

One self-contained SVG with its colours for light and dark surroundings. Everything that came from elsewhere is escaped.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mpreg._graph import StepReport

_WIDTH: Final = 960.0
_MARGIN: Final = 16.0
_HEAD: Final = 44.0
_ROW: Final = 26.0
_BAR: Final = 18.0
_LANE_GAP: Final = 10.0
_LABEL_CHARS_MAX: Final = 34
# Of the font below, on the safe side.
_CHAR: Final = 6.7
_TICKS: Final = 6
# What no XML document may contain, escaped or not.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE: Final = """
:root { --paper: #ffffff; --ink: #1f2328; --faint: #d8dee4; --quiet: #57606a; --bar: #8fb8de; --hot: #e5823b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16191d; --ink: #e6edf3; --faint: #30363d; --quiet: #9aa4af; --bar: #35618c; --hot: #b8591b; }
}
text { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink); }
.aside { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.quiet { fill: var(--quiet); }
.paper { fill: var(--paper); }
.tick, .lane { stroke: var(--faint); stroke-width: 1; }
.bar { fill: var(--bar); }
.hot { fill: var(--hot); }
.arrow { fill: none; stroke: var(--quiet); stroke-width: 1; opacity: 0.7; marker-end: url(#mpreg-tip); }
.arrow.hot { fill: none; stroke: var(--hot); stroke-width: 2; opacity: 1; marker-end: url(#mpreg-hot-tip); }
.tip { fill: var(--quiet); }
.tip.hot { fill: var(--hot); }
"""


class _Bar(NamedTuple):
    left: float
    right: float
    top: float


class _Lane(NamedTuple):
    node: str
    top: float
    rows: int


def drawing(steps: Sequence[StepReport], critical: Collection[int], seconds: float) -> str:
    """The SVG of a run."""
    nodes = list(dict.fromkeys(step.node for step in sorted(steps, key=lambda step: step.started)))
    gutter = _MARGIN + _CHAR * max((len(_shortened(node)) for node in nodes), default=0) + 12
    span = max([seconds, *(step.started + step.seconds for step in steps), 1e-6])
    scale = (_WIDTH - _MARGIN - gutter) / span
    lanes, bars = _placed(steps, nodes, gutter, scale)
    height = (lanes[-1].top + lanes[-1].rows * _ROW + _LANE_GAP if lanes else _HEAD) + _MARGIN
    hot = set(critical)
    # A step's bar lies over the arrows that end in it.
    body = [
        *_axis(span, gutter, scale, height),
        *(line for lane in lanes for line in _lane(lane)),
        *_arrows(steps, bars, critical),
        *(_bar(step, bars[index], is_hot=index in hot) for index, step in enumerate(steps)),
    ]
    title = _text(f"{len(steps)} steps on {len(nodes)} nodes in {_time(seconds)}")
    size = f'width="{_WIDTH:.0f}" height="{height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" {size} role="img">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            f"<defs>{_tip('mpreg-tip', 'tip')}{_tip('mpreg-hot-tip', 'tip hot')}</defs>",
            f'<rect class="paper" {size}/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 4}">{title}</text>',
            *body,
            "</svg>",
        ]
    )


def _placed(
    steps: Sequence[StepReport], nodes: Sequence[str], gutter: float, scale: float
) -> tuple[list[_Lane], dict[int, _Bar]]:
    """Each step in the first row of its node's lane that is free when it starts."""
    lanes: list[_Lane] = []
    bars: dict[int, _Bar] = {}
    top = _HEAD
    for node in nodes:
        ends: list[float] = []
        mine = [index for index, step in enumerate(steps) if step.node == node]
        for index in sorted(mine, key=lambda index: steps[index].started):
            left = gutter + steps[index].started * scale
            right = max(left + 2, left + steps[index].seconds * scale)
            row = next((row for row, end in enumerate(ends) if end <= left), len(ends))
            if row == len(ends):
                ends.append(0.0)
            ends[row] = _text_end(steps[index], left, right)
            bars[index] = _Bar(left, right, top + _LANE_GAP / 2 + row * _ROW)
        lanes.append(_Lane(node, top, len(ends)))
        top += len(ends) * _ROW + _LANE_GAP
    return lanes, bars


def _text_end(step: StepReport, left: float, right: float) -> float:
    """Where the next bar of the row may begin: text that is longer than its bar stands to the right of it."""
    text = _CHAR * len(_caption(step))
    if left + text + 8 <= right or right + text + 8 > _WIDTH:
        return right
    return right + text + 8


def _axis(span: float, gutter: float, scale: float, height: float) -> Iterable[str]:
    unit = 10.0 ** math.floor(math.log10(span / _TICKS))
    every = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= _TICKS)
    for number in range(int(span / every) + 1):
        x = gutter + number * every * scale
        yield f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 4}" y2="{height - _MARGIN:.1f}"/>'
        yield f'<text class="quiet" x="{x:.1f}" y="{_HEAD - 8}">{_time(number * every)}</text>'


def _lane(lane: _Lane) -> Iterable[str]:
    middle = lane.top + (_LANE_GAP + lane.rows * _ROW) / 2
    yield (
        f'<line class="lane" x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{lane.top:.1f}" y2="{lane.top:.1f}"/>'
        f'<g class="node"><title>{_text(lane.node)}</title>'
        f'<text x="{_MARGIN}" y="{middle + 2:.1f}">{_text(_shortened(lane.node))}</text></g>'
    )


def _arrows(steps: Sequence[StepReport], bars: dict[int, _Bar], critical: Collection[int]) -> Iterable[str]:
    hot = set(itertools.pairwise(critical))
    for index, step in enumerate(steps):
        for source in step.after:
            if source not in bars:
                continue
            start, end = bars[source], bars[index]
            y1, y2 = start.top + _BAR / 2, end.top + _BAR / 2
            bend = max(14.0, (end.left - start.right) / 2)
            name = "arrow hot" if (source, index) in hot else "arrow"
            yield (
                f'<path class="{name}" d="M{start.right:.1f},{y1:.1f} C{start.right + bend:.1f},{y1:.1f} '
                f'{end.left - bend:.1f},{y2:.1f} {end.left:.1f},{y2:.1f}"/>'
            )


def _bar(step: StepReport, bar: _Bar, *, is_hot: bool) -> str:
    width, caption = bar.right - bar.left, _caption(step)
    text, anchor, style = bar.left + 4, "start", "inside"
    if _CHAR * len(caption) + 8 > width:
        # Beside the bar, on the side that has room; arrows that cross it leave it readable.
        fits = bar.right + _CHAR * len(caption) + 8 <= _WIDTH
        text, anchor = (bar.right + 4, "start") if fits else (bar.left - 4, "end")
        style = "aside"
    about = f"{step.name} on {step.node}: {_time(step.seconds)}, from {_time(step.started)}, {step.bytes} bytes"
    return (
        f'<g class="step"><title>{_text(about)}</title>'
        f'<rect class="{"bar hot" if is_hot else "bar"}" x="{bar.left:.1f}" y="{bar.top:.1f}" width="{width:.1f}" '
        f'height="{_BAR}" rx="3"/>'
        f'<text class="{style}" x="{text:.1f}" y="{bar.top + 13:.1f}" text-anchor="{anchor}">{_text(caption)}</text></g>'
    )


def _tip(name: str, style: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path class="{style}" d="M0,0 L8,4 L0,8 z"/></marker>'
    )


def _caption(step: StepReport) -> str:
    return f"{_shortened(step.name)} {_time(step.seconds)}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LABEL_CHARS_MAX else f"…{text[-_LABEL_CHARS_MAX + 1 :]}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _text(text: str) -> str:
    return html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))
