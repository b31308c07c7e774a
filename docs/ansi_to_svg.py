#!/usr/bin/env python3
"""Draws a terminal's screen, text with colours as `tmux capture-pane -e` prints it on standard input, as an SVG."""
import html
import re
import sys

COLUMN, ROW, SIZE, MARGIN = 8.4, 18, 14, 14
GROUND, TEXT = "#1b1e26", "#d8dbe2"
NAMES = ["#1b1e26", "#e0607e", "#6fbf73", "#d9b45b", "#5aa2e0", "#b184d8", "#4fbdc0", "#d8dbe2",
         "#767c8c", "#f08aa0", "#95d898", "#efd07f", "#86bdf0", "#cba6ec", "#7fdadb", "#ffffff"]


def indexed(n):
    """The colour n of a terminal's 256."""
    if n < 16:
        return NAMES[n]
    if n >= 232:
        return "#" + f"{8 + 10 * (n - 232):02x}" * 3
    levels = [0, 95, 135, 175, 215, 255]
    n -= 16
    return "#" + "".join(f"{levels[v]:02x}" for v in (n // 36, n // 6 % 6, n % 6))


def styled(style, codes):
    """The style after the codes of one escape sequence."""
    codes = [int(c or 0) for c in codes.split(";")]
    while codes:
        c = codes.pop(0)
        if c in (38, 48):
            kind = codes.pop(0)
            colour = indexed(codes.pop(0)) if kind == 5 else "#" + "".join(f"{codes.pop(0):02x}" for _ in range(3))
            style = {**style, "fill" if c == 38 else "back": colour}
        elif c == 0:
            style = {}
        elif c in (1, 2):
            style = {**style, ("bold", "dim")[c - 1]: True}
        elif c == 22:
            style = {k: v for k, v in style.items() if k not in ("bold", "dim")}
        elif c in (39, 49):
            style = {k: v for k, v in style.items() if k != ("fill" if c == 39 else "back")}
        elif 30 <= c <= 37 or 90 <= c <= 97:
            style = {**style, "fill": NAMES[c - 30 if c < 90 else c - 82]}
        elif 40 <= c <= 47 or 100 <= c <= 107:
            style = {**style, "back": NAMES[c - 40 if c < 100 else c - 92]}
    return style


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    body, style, columns = [], {}, int(sys.argv[1])
    for row, line in enumerate(lines):
        x = 0
        for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
            code = re.fullmatch(r"\x1b\[([0-9;]*)m", piece)
            if code:
                style = styled(style, code[1])
                continue
            for run in re.finditer(r"[⠀-⣿]|[█-▟]+|[^\s⠀-⣿█-▟]+(?: [^\s⠀-⣿█-▟]+)*", piece):  # fonts may lack braille
                text, at = run[0], MARGIN + (x + run.start()) * COLUMN
                y, width = MARGIN + row * ROW, len(text) * COLUMN
                if "back" in style:
                    body.append(f'<rect x="{at:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" fill="{style["back"]}"/>')
                how = f' fill="{style["fill"]}"' if "fill" in style else ""
                how += ' font-weight="bold"' if "bold" in style else ""
                how += ' opacity=".6"' if "dim" in style else ""
                body.append(f'<text x="{at:.1f}" y="{y + 14}" textLength="{width:.1f}"{how}>{html.escape(text)}</text>')
            x += len(piece)
    width, height = 2 * MARGIN + columns * COLUMN, 2 * MARGIN + len(lines) * ROW
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
          f'font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{SIZE}" fill="{TEXT}" '
          f'><rect width="100%" height="100%" rx="8" fill="{GROUND}"/>')
    print("\n".join(body))
    print("</svg>")


main()
