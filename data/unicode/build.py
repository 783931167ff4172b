"""Make unicode.tsv and folding.tsv from the Unicode Character Database.

The files of version 15.0.0 are Debian's package unicode-data 15.0.0-1 (bookworm), or unicode.org/Public/15.0.0/ucd:

    apt-get download unicode-data=15.0.0-1 && dpkg-deb -x unicode-data_*.deb ucd
    python data/unicode/build.py ucd/usr/share/unicode
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
POINTS = 0x110000
# Scripts whose words have no space between them, beside those that UAX 14 breaks by dictionary (line break class SA).
UNSPACED = {
    *("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Nushu", "Tangut", "Khitan_Small_Script", "Tibetan"),
}
# The iteration marks and the ideographic zero, which Scripts.txt partly counts as Common.
ALSO_UNSPACED = (0x3005, 0x3006, 0x3007, 0x303B, 0x303C, 0x30FC, 0xFF70)


def fields(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        content = line.partition("#")[0].strip()
        if content:
            yield [field.strip() for field in content.split(";")]


def span(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first, 16), int(last or first, 16) + 1)


def main(ucd: Path) -> None:
    category, space, alone, unstable = ["Cn"] * POINTS, [False] * POINTS, [False] * POINTS, [False] * POINTS
    first = 0
    for row in fields(ucd / "UnicodeData.txt"):
        point = int(row[0], 16)
        if not row[1].endswith(", Last>"):
            first = point
        for each in range(first, point + 1):
            category[each] = row[2]
            # What Python's str.isspace, and with it str.split and str.strip, takes for white space.
            space[each] = row[2] == "Zs" or row[4] in {"WS", "B", "S"}
            unstable[each] = row[3] != "0"
    for row in fields(ucd / "Scripts.txt"):
        if row[1] in UNSPACED:
            for point in span(row[0]):
                alone[point] = True
    for row in fields(ucd / "LineBreak.txt"):
        if row[1] == "SA":
            for point in span(row[0]):
                alone[point] = True
    for point in ALSO_UNSPACED:
        alone[point] = True
    for row in fields(ucd / "DerivedNormalizationProps.txt"):
        if row[1] == "NFC_QC":  # the file lists those that are no "yes"
            for point in span(row[0]):
                unstable[point] = True
    version = (ucd / "CaseFolding.txt").read_text(encoding="utf-8").split("\n")[0].split("-")[1].removesuffix(".txt")

    lines, begin = (
        [
            f"# Unicode {version}: first, last, general category, s: white space, a: a word by itself, n: NFC may change it"
        ],
        0,
    )
    for point in range(1, POINTS + 1):
        same = point < POINTS and all(x[point] == x[begin] for x in (category, space, alone, unstable))
        if not same:
            if category[begin] not in {"Cn", "Co", "Cs"} or space[begin]:
                letter = category[begin][0] in "LMN"
                flags = "s" * space[begin] + "a" * (alone[begin] and letter) + "n" * unstable[begin]
                lines.append(f"{begin:04X}\t{point - 1:04X}\t{category[begin]}\t{flags}")
            begin = point
    (HERE / "unicode.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    lines = [f"# Unicode {version}: simple case folding (status C and S of CaseFolding.txt)"]
    for row in fields(ucd / "CaseFolding.txt"):
        if row[1] in {"C", "S"}:
            lines.append(f"{row[0]}\t{row[2]}")
    (HERE / "folding.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
