"""Pictures of the report, as inline SVG whose colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 960
LONG_NAME = 4
"""Characters that fit above a column of a confusion matrix."""
LEAST_CELL = 26
"""Pixels of a cell that has room for a number."""
CLASSES = 6
"""Colours of parts in the style, `.s0` to `.s5`."""


def mark(ok: bool | None) -> str:
    """Show a promise as kept, broken or absent, also to those who see no colours."""
    if ok is None:
        return ""
    return '<span class="ok">✓ ok</span>' if ok else '<span class="bad">✗ no</span>'


def accuracy_bars(bars: Sequence[tuple[str, float, float | None]]) -> str:
    """Draw accuracies (name, value, minimum) on an axis that starts where it helps reading."""
    values = [value for _, value, _ in bars] + [least for *_, least in bars if least is not None]
    start = max(0.0, math.floor((min(values) - 0.05) * 10) / 10)
    left, width, step = 110, 360, 44
    shapes = []
    for tick in _ticks(start, 1.0, 5):
        x = left + _scale(tick, start, 1.0, width)
        shapes.append(_line(x, 0, x, len(bars) * step, "grid"))
        shapes.append(_text(x, len(bars) * step + 18, f"{tick:.0%}", "axis middle"))
    for i, (name, value, least) in enumerate(bars):
        y = i * step + 8
        length = _scale(value, start, 1.0, width)
        shapes.append(_text(left - 10, y + 19, name, "end"))
        shapes.append(_rect(left, y, length, 28, "s0", f"{name}: {value:.2%}"))
        shapes.append(_text(left + length - 8, y + 19, f"{value:.1%}", "inside end"))
        if least is not None:
            x = left + _scale(least, start, 1.0, width)
            shapes.append(_line(x, y - 5, x, y + 33, "least"))
    return _svg("Accuracy of the model's forms", left + width + 24, len(bars) * step + 28, shapes)


def heat_map(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix: right answers in one colour, wrong ones in another.

    Long names stand before the rows alone, with a number that the column has too.
    """
    size, top = len(labels), 44
    cell = max(14, min(42, 720 // size))
    left, columns, rows = 60, list(labels), list(labels)
    if has_long_names(labels):
        columns = [str(i + 1) for i in range(size)]
        rows = [f"{_shorten(label, 24)} {i + 1}" for i, label in enumerate(labels)]
        left = 48 + 8 * max(map(len, rows))
    shapes = [
        _text(left + size * cell / 2, 16, "answer", "axis middle"),
        f'<text transform="translate(16 {top + size * cell / 2}) rotate(-90)"'
        ' class="axis middle">true class</text>',
    ]
    worst = max((counts[i][j] for i in range(size) for j in range(size) if i != j), default=0)
    for i, row in enumerate(counts):
        middle = cell / 2 + 6
        shapes.append(_text(left - 10, top + i * cell + middle, rows[i], "end"))
        shapes.append(_text(left + i * cell + cell / 2, top - 10, columns[i], "middle"))
        for j, count in enumerate(row):
            x, y = left + j * cell, top + i * cell
            share = count / max(1, sum(row)) if i == j else count / max(1, worst)
            opacity = 0.0 if count == 0 else 0.25 + 0.75 * share * (1.0 if i == j else 0.7)
            kind = "right" if i == j else "wrong"
            shapes.append(_rect(x + 1, y + 1, cell - 2, cell - 2, "empty"))
            if count:
                label = f"{labels[i]} taken for {labels[j]}: {count}"
                shapes.append(
                    f'<rect x="{x + 1}" y="{y + 1}" width="{cell - 2}" height="{cell - 2}" rx="3"'
                    f' class="{kind}" opacity="{opacity:.2f}">{_title(label)}</rect>'
                )
                tone = "cell inside" if i == j else "cell"
                if cell >= LEAST_CELL:
                    shapes.append(_text(x + cell / 2, y + middle, str(count), f"middle {tone}"))
    return _svg("Confusion matrix", left + size * cell + 8, top + size * cell + 8, shapes)


def has_long_names(labels: Sequence[str]) -> bool:
    """Tell whether names are too long to stand above the columns of a confusion matrix."""
    return max(map(len, labels), default=0) > LONG_NAME


def learning_curves(losses: Sequence[float], scores: Sequence[float], *, metric: str) -> str:
    """Draw the training loss and the metric on the validation part after each epoch."""
    left, height, right = 60, 220, 150
    width, last = WIDTH - left - right, max(2, len(losses))
    low = max(0.0, math.floor((min(scores, default=0.0) - 0.05) * 10) / 10)
    most = max(losses, default=1.0) or 1.0

    def curve(values: Sequence[float], low: float, high: float, kind: str, name: str) -> list[str]:
        points = [
            (left + i / (last - 1) * width, 8 + height - _scale(value, low, high, height))
            for i, value in enumerate(values)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        made = [f'<polyline points="{path}" class="curve line-{kind}"/>']
        for number, ((x, y), value) in enumerate(zip(points, values, strict=True), start=1):
            label = _title(f"epoch {number}: {name} {value:.4g}")
            made.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot {kind}">{label}</circle>'
            )
        x, y = points[-1]
        end = f"{values[-1]:.1%}" if kind == "s0" else f"{values[-1]:.3g}"
        return [*made, _text(x + 12, y + 4, f"{name} {end}", "small")]

    shapes = []
    for tick in _ticks(low, 1.0, 5):
        y = 8 + height - _scale(tick, low, 1.0, height)
        shapes.append(_line(left, y, left + width, y, "grid"))
        shapes.append(_text(left - 8, y + 4, f"{tick:.0%}", "axis end"))
    for number in _ticks(1, last, 8):
        x = left + (number - 1) / (last - 1) * width
        shapes.append(_text(x, height + 28, f"{number:g}", "axis middle"))
    if losses and scores:
        shapes += curve(losses, 0.0, most, "s1", "loss")
        shapes += curve(scores, low, 1.0, "s0", metric)
    return _svg("Learning curves", WIDTH, height + 36, shapes)


def memory_bar(name: str, parts: Sequence[tuple[str, int]], limit: int) -> str:
    """Draw parts of a memory against its limit, with a legend that has the numbers."""
    used = sum(size for _, size in parts)
    whole = max(used, limit, 1)
    x, shapes = 0.0, [_rect(0, 22, WIDTH, 34, "empty")]
    for i, (part, size) in enumerate(parts):
        width = size / whole * WIDTH
        shapes.append(_rect(x, 22, width, 34, f"s{i % CLASSES}", f"{part}: {size:,} bytes"))
        x += width
    if used > limit:
        edge = limit / whole * WIDTH
        shapes.append(_line(edge, 16, edge, 62, "limit"))
    over = " – does not fit" if used > limit else ""
    headline = f"{name}: {kilo(used)} of {kilo(limit)} ({used / max(limit, 1):.0%}){over}"
    shapes.append(_text(0, 14, headline, "strong"))
    legend = "".join(
        f'<li><svg class="swatch" viewBox="0 0 10 10"><rect width="10" height="10"'
        f' class="s{i % CLASSES}"/></svg>{escape(part)} <b>{kilo(size)}</b></li>'
        for i, (part, size) in enumerate(parts)
    )
    free = f"<li>free <b>{kilo(limit - used)}</b></li>" if limit > used else ""
    return _svg(headline, WIDTH, 64, shapes) + f'<ul class="legend">{legend}{free}</ul>'


def arena_map(lives: Sequence[tuple[str, int, int, int, int]], arena: int) -> str:
    """Draw tensors (name, offset, bytes, first, last): across the layers, up the addresses."""
    left, height, bottom = 70, 240, 30
    layers = max(last for *_, last in lives) + 1
    step = (WIDTH - left) / layers
    shapes = []
    for tick in _ticks(0, arena, 4):
        y = height - tick / arena * height + 8
        shapes.append(_line(left, y, WIDTH, y, "grid"))
        shapes.append(_text(left - 8, y + 4, kilo(tick), "axis end"))
    for i, (name, offset, size, first, last) in enumerate(lives):
        x, width = left + first * step, (last - first + 1) * step
        tall = size / arena * height
        y = height - (offset + size) / arena * height + 8
        label = f"{name}: {size:,} bytes at {offset:,}, layers {first} to {last}"
        shapes.append(_rect(x + 0.5, y, width - 1, max(tall, 1), f"s{i % CLASSES} soft", label))
        if tall >= 14 and width >= 7.5 * len(name):
            shapes.append(_text(x + width / 2, y + tall / 2 + 4, name, "middle small"))
    every = max(1, layers // 16)
    for layer in range(0, layers, every):
        x = left + (layer + 0.5) * step
        shapes.append(_text(x, height + bottom - 4, str(layer), "axis middle"))
    return _svg(f"Arena of {arena:,} bytes over layers", WIDTH, height + bottom + 6, shapes)


def layer_bars(bars: Sequence[tuple[str, str, int]]) -> str:
    """Draw instructions (layer, operator, count) as bars, one colour per operator."""
    left, step = 250, 24
    most = max(1, *(count for *_, count in bars))
    total = max(1, sum(count for *_, count in bars))
    width = WIDTH - left - 150
    kinds = list(dict.fromkeys(op for _, op, _ in bars))
    shapes = []
    for i, (name, op, count) in enumerate(bars):
        y, length = i * step, count / most * width
        kind = f"s{kinds.index(op) % CLASSES}"
        shapes.append(_text(left - 10, y + 15, _shorten(name, 32), "end", full=name))
        shapes.append(_rect(left, y + 3, length, step - 7, kind, f"{name} ({op}): {count:,}"))
        label = f"{count:,}  {count / total:.1%}"
        shapes.append(_text(left + length + 8, y + 15, label, "small"))
    legend = "".join(
        f'<li><svg class="swatch" viewBox="0 0 10 10"><rect width="10" height="10"'
        f' class="s{i % CLASSES}"/></svg>{escape(kind)}</li>'
        for i, kind in enumerate(kinds)
    )
    picture = _svg("Instructions per layer", WIDTH, len(bars) * step + 4, shapes)
    return f'{picture}<ul class="legend">{legend}</ul>'


def timeline(events: Sequence[tuple[float, str, str, bool | None]]) -> str:
    """Draw events (seconds, lane, text, ok) in one lane per actor."""
    left, step = 170, 34
    lanes = list(dict.fromkeys(lane for _, lane, _, _ in events))
    end = max(1.0, *(time for time, *_ in events))
    height = len(lanes) * step
    width = WIDTH - left - 20
    shapes = []
    for tick in _ticks(0, end, 8):
        x = left + tick / end * width
        shapes.append(_line(x, 0, x, height, "grid"))
        shapes.append(_text(x, height + 18, f"{tick:g} s", "axis middle"))
    for i, lane in enumerate(lanes):
        y = i * step + step / 2
        shapes.append(_text(left - 14, y + 4, _shorten(lane, 22), "end", full=lane))
        shapes.append(_line(left, y, left + width, y, "lane"))
    for time, lane, text, ok in events:
        x, y = left + time / end * width, lanes.index(lane) * step + step / 2
        kind = {True: "good", False: "bad", None: "neutral"}[ok]
        label = _title(f"{time:.1f} s, {lane}: {text}")
        if ok is False:  # A shape of its own: colour alone does not tell.
            points = f"{x},{y - 8} {x + 8},{y} {x},{y + 8} {x - 8},{y}"
            shapes.append(f'<polygon points="{points}" class="dot {kind}">{label}</polygon>')
        else:
            shapes.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="6" class="dot {kind}">{label}</circle>'
            )
    legend = (
        '<ul class="legend"><li><span class="ok">●</span> went well</li>'
        '<li><span class="bad">◆</span> refused or failed</li><li>● other</li></ul>'
    )
    return _svg("Timeline", WIDTH, height + 26, shapes) + legend


def round_curve(
    before: float,
    rounds: Sequence[tuple[int, float]],
    *,
    single: float | None,
    target: float | None,
) -> str:
    """Draw accuracy after each round, beside what one device alone reaches."""
    left, height, right = 60, 240, 190
    points = [(0, before), *rounds]
    known = [value for _, value in points] + [v for v in (single, target) if v is not None]
    low = max(0.0, math.floor((min(known) - 0.05) * 10) / 10)
    last = max(1, points[-1][0])
    width = WIDTH - left - right

    def place(number: float, value: float) -> tuple[float, float]:
        return left + number / last * width, 8 + height - _scale(value, low, 1.0, height)

    shapes = []
    for tick in _ticks(low, 1.0, 5):
        _, y = place(0, tick)
        shapes.append(_line(left, y, left + width, y, "grid"))
        shapes.append(_text(left - 8, y + 4, f"{tick:.0%}", "axis end"))
    for number, _ in points:
        x, _ = place(number, low)
        shapes.append(
            _text(x, height + 28, "before" if number == 0 else str(number), "axis middle")
        )
    for value, kind, name in (
        (single, "single", "best single device"),
        (target, "limit", "target"),
    ):
        if value is not None:
            _, y = place(0, value)
            shapes.append(_line(left, y, left + width, y, kind))
            shapes.append(_text(left + width + 12, y + 4, f"{name} {value:.1%}", "small"))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    shapes.append(f'<polyline points="{path}" class="curve"/>')
    for number, value in points:
        x, y = place(number, value)
        label = _title(f"round {number}: {value:.2%}")
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="dot s0">{label}</circle>')
        shapes.append(_text(x, y - 12, f"{value:.1%}", "middle small"))
    return _svg("Accuracy per federated round", WIDTH, height + 36, shapes)


def curve(points: Sequence[tuple[int, float]], *, name: str, form: str = ".4g") -> str:
    """Draw values by round, each round marked; `form` says how a value is written."""
    left, width, height = 70, WIDTH - 110, 200
    values = [value for _, value in points]
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    shapes = []
    for tick in _ticks(low, high, 5):
        y = height - _scale(tick, low, high, height)
        shapes.append(_line(left, y, left + width, y, "grid"))
        shapes.append(_text(left - 8, y + 4, format(tick, form), "axis end"))
    places = [
        (left + _scale(number, first, last, width), height - _scale(value, low, high, height))
        for number, value in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    shapes.append(f'<polyline points="{path}" class="curve line-s0"/>')
    for (number, value), (x, y) in zip(points, places, strict=True):
        label = _title(f"round {number}: {value:.6g}")
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot s0">{label}</circle>')
    for number in _whole_ticks(first, last):
        x = left + _scale(number, first, last, width)
        shapes.append(_text(x, height + 20, str(number), "axis middle"))
    shapes.append(_text(left + width / 2, height + 38, "round", "axis middle"))
    return _svg(name, left + width + 24, height + 46, shapes)


def columns(rounds: Sequence[int], series: Mapping[str, Sequence[int]], *, name: str) -> str:
    """Draw a column per round, its parts on top of each other, and say what each colour is."""
    left, width, height = 90, WIDTH - 130, 180
    most = max(1, *(sum(parts) for parts in zip(*series.values(), strict=True)))
    step = width / len(rounds)
    shapes = []
    for tick in _ticks(0, most, 4):
        y = height - _scale(tick, 0, most, height)
        shapes.append(_line(left, y, left + width, y, "grid"))
        shapes.append(_text(left - 8, y + 4, f"{tick:,.0f}", "axis end"))
    for at, number in enumerate(rounds):
        top = float(height)
        for kind, (part, values) in enumerate(series.items()):
            size = _scale(values[at], 0, most, height)
            top -= size
            label = f"round {number}: {values[at]:,} {part}"
            shapes.append(
                _rect(left + at * step, top, max(1.0, step * 0.8), size, f"s{kind}", label)
            )
    for number in _whole_ticks(rounds[0], rounds[-1]):
        x = left + (rounds.index(number) + 0.4) * step
        shapes.append(_text(x, height + 18, str(number), "axis middle"))
    for kind, part in enumerate(series):
        x = left + kind * 140
        shapes.append(_rect(x, height + 30, 12, 12, f"s{kind}"))
        shapes.append(_text(x + 18, height + 40, part, "axis"))
    return _svg(name, left + width + 24, height + 50, shapes)


def kilo(size: float) -> str:
    """Write bytes for people; kB = 1000 bytes.

    Examples:
        >>> kilo(640), kilo(44_664), kilo(1_048_576)
        ('640 B', '44.7 kB', '1.05 MB')
    """
    if size < 1000:
        return f"{size:.0f} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.2f} MB"


def _ticks(low: float, high: float, about: int) -> list[float]:
    span = (high - low) / about
    size = 10.0 ** math.floor(math.log10(span)) if span > 0 else 1.0
    step = next((size * k for k in (1, 2, 2.5, 5, 10) if size * k >= span), size * 10)
    first = math.ceil(low / step - 1e-9)
    count = math.floor((high - first * step) / step + 1e-9)
    return [round((first + i) * step, 10) for i in range(count + 1)]


def _whole_ticks(first: int, last: int) -> list[int]:
    """Return some whole numbers of a range, evenly apart, the first one among them."""
    step = max(1, math.ceil((last - first) / 10))
    return list(range(first, last + 1, step))


def _scale(value: float, low: float, high: float, length: float) -> float:
    return max(0.0, (value - low) / (high - low)) * length


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _text(x: float, y: float, text: str, kind: str, *, full: str = "") -> str:
    hint = _title(full) if full and full != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}{hint}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str, label: str = "") -> str:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" rx="3"'
    return f'<rect {box} class="{kind}">{_title(label) if label else ""}</rect>'


def _svg(label: str, width: float, height: float, shapes: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}"'
        f' style="max-width:{width:.0f}px">{"".join(shapes)}</svg>'
    )
