"""A bar chart as SVG, without libraries: slow-down over native, log scale.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import math

LEFT, TOP, ROW, BAR, WIDTH = 170, 56, 34, 11, 560
COLOURS = {"qemu": "#b0b7c3", "rhea": "#2f6fde"}
NAMES = {"qemu": "QEMU", "rhea": "Rhea"}


def draw(path, title, rows):
    """rows: (name, {"qemu": x, "rhea": y}, target or None)."""
    top = max(max(v.values()) for _, v, _ in rows)
    decades = max(1, math.ceil(math.log10(top) - 1e-9))
    height = TOP + ROW * len(rows) + 40

    def x_of(v):
        return LEFT + max(math.log10(v), 0) / decades * WIDTH

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}"'
           f' height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{title}</text>']
    at = LEFT
    for key in ("rhea", "qemu"):
        out.append(f'<rect x="{at}" y="32" width="12" height="12" '
                   f'fill="{COLOURS[key]}"/><text x="{at + 18}" y="42">'
                   f'{NAMES[key]}</text>')
        at += 80
    out.append(f'<path d="M{at + 6} 30v16" stroke="#c0392b" stroke-width="2"/>'
               f'<text x="{at + 18}" y="42">what Rhea must reach</text>')
    bottom = TOP + ROW * len(rows)
    for d in range(decades + 1):
        for k in (1, 2, 5):
            if d == decades and k > 1:
                continue
            x = x_of(k * 10 ** d)
            out.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#e3e6eb"/>'
                       f'<text x="{x:.1f}" y="{bottom + 16}" fill="#555" '
                       f'text-anchor="middle">{k * 10 ** d}</text>')
    out.append(f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 33}" fill="#555" '
               'text-anchor="middle">times native (logarithmic)</text>')
    for i, (name, values, target) in enumerate(rows):
        y = TOP + ROW * i + 5
        out.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">'
                   f'{name}</text>')
        labels = []
        for j, key in enumerate(("rhea", "qemu")):
            if key in values:
                v, top_y = values[key], y + j * (BAR + 1)
                x = x_of(v)
                out.append(f'<rect x="{LEFT}" y="{top_y}" width='
                           f'"{max(x - LEFT, 1):.1f}" height="{BAR}" '
                           f'fill="{COLOURS[key]}"/>')
                text = f"{v:.0f}" if v >= 100 else f"{v:.3g}"
                labels.append(f'<text x="{x + 4:.1f}" y="{top_y + 9.5}" '
                              'font-size="10" stroke="white" stroke-width="2" '
                              f'paint-order="stroke">{text}</text>')
        if target:
            x = x_of(target)
            out.append(f'<path d="M{x:.1f} {y - 2}v{2 * BAR + 4}" '
                       'stroke="#c0392b" stroke-width="2"/>')
        out += labels
    out.append("</svg>\n")
    with open(path, "w") as f:
        f.write("\n".join(out))
