"""The names of the library's public API, read from what rustdoc has written, compared with the list that is checked in.

    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
    python3 tests/public_api.py            # differs: exit code 1
    python3 tests/public_api.py --write    # the change is meant: write the list anew
"""

import difflib
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOC = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "doc" / "tower_sse"
LIST = ROOT / "docs" / "public-api.txt"

ITEM = re.compile(r"(struct|enum|trait|fn|constant|type|macro|union)\.(\w+)\.html")
PART = re.compile(r'<section id="(method|tymethod|variant|associatedtype|associatedconstant)\.([\w]+)"')
FIELD = re.compile(r'<span id="(structfield)\.(\w+)"')
IMPL = re.compile(r'<section id="(impl-[^"]+)"')


def slice_of(page, begin, ends):
    """What stands between two headings of a page."""
    start = page.find(f'id="{begin}"')
    if start < 0:
        return ""
    stops = [page.find(f'id="{end}"', start) for end in ends]
    return page[start : min([stop for stop in stops if stop >= 0], default=len(page))]


def names_of(path):
    """An item, and the names that it has inside."""
    kind, name = ITEM.fullmatch(path.name).groups()
    page = path.read_text()
    full = ".".join(["tower_sse", *path.parent.relative_to(DOC).parts, name]).replace(".", "::")
    yield f"{kind} {full}"
    behind = ["trait-implementations", "synthetic-implementations", "blanket-implementations", "implementors"]
    own = page[: page.find('id="trait-implementations"')] if 'id="trait-implementations"' in page else page
    own = own[: min([own.find(f'id="{end}"') for end in behind[1:] if f'id="{end}"' in own], default=len(own))]
    for part, inner in sorted(set(PART.findall(own) + FIELD.findall(own))):
        yield f"    {part.removeprefix('ty')} {inner}"
    for implemented in sorted(set(IMPL.findall(slice_of(page, behind[0], behind[1:])))):
        if "Structural" not in implemented:
            yield f"    {implemented}"


def pages():
    """Those of all items. Others may be left of items that are gone."""
    linked = re.findall(r'<a href="([^"#]+\.html)"', (DOC / "all.html").read_text())
    return sorted({DOC / link for link in linked if ITEM.fullmatch(Path(link).name)})


def public_api():
    return [line for path in pages() for line in names_of(path)]


def main():
    if not DOC.is_dir():
        sys.exit(f"{DOC} is missing: run cargo doc --no-deps --all-features first")
    now = public_api()
    if "--write" in sys.argv[1:]:
        LIST.write_text("\n".join(now) + "\n")
        return
    known = LIST.read_text().splitlines()
    difference = list(difflib.unified_diff(known, now, str(LIST.relative_to(ROOT)), "the code", lineterm="", n=1))
    print("\n".join(difference))
    if difference:
        print("\nIf that is meant: python3 tests/public_api.py --write, and a line in CHANGELOG.md.")
    sys.exit(1 if difference else 0)


if __name__ == "__main__":
    main()
