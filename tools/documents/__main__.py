"""Write every generated page of docs/reference."""

from __future__ import annotations

from tools.documents.pages import FOLDER, PAGES


def main() -> None:
    """Write the pages and print their names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
