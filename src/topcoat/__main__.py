"""The command `topcoat`, and `python -m topcoat`: while it is still being loaded, Ctrl-C ends in one line too."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from topcoat.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
