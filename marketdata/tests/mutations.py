"""A campaign of damaged frames: nothing crashes, nothing is lost, nothing false is accepted.

    python -m marketdata.tests.mutations --frames 100000 --seed 7

    python -m marketdata.tests.mutations --private --frames 100000 --seed 7

Public frames, or with `--private` an account's, are generated with their truth beside them, most are then damaged, and each goes
the way of the wire: text, `orjson.loads`, normaliser. One in four stays whole, some are changed
in ways that must not matter (order of keys, unknown fields, blanks).

What is checked of every frame:
- rows sent = accepted + rejected + conflated + ignored. Sent are the rows of the damaged frame's own
  `data` list; a frame that is unreadable as a whole is one row, and so is any ticker frame.
- the result is that of an *oracle*, which shares no code with the normaliser: it reads the
  damaged text with the standard library's json and the numbers digit by digit, and says which
  rows are sound and what they mean. So a row wrongly accepted, altered, reordered or refused
  is found, and for tickers the merged state as well.
- a whole or harmlessly changed frame yields what the generator put in.
- a refusal has a reason, and both it and the raw text can be stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from marketdata.tests.mutations_private import PrivateCampaign
from marketdata.tests.mutations_public import Campaign
from marketdata.tests.mutations_shared import PARSERS, read_number

__all__ = ["Campaign", "PrivateCampaign", "main", "read_number"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign and print what came of it; 1 when anything is off."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--digits", type=int, default=30, choices=(15, 30))
    parser.add_argument("--parser", default="orjson", choices=sorted(PARSERS))
    parser.add_argument("--private", action="store_true", help="an account's frames")
    options = parser.parse_args(arguments)
    kind = PrivateCampaign if options.private else Campaign
    campaign = kind(options.seed, digits=options.digits, loads=PARSERS[options.parser])
    tally = campaign.run(options.frames)
    sys.stdout.write(tally.report() + "\n")
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
