"""A process of its own that draws: what Vega needs of memory, or does with a strange chart, hurts no sweep.

Run by its path, so that it starts in a moment. Reads JSON, {"specs": {name: specification}, "config": the
looks, "bundle": whether Vega itself is wanted}; writes {"svg": {name: text}, "errors": {name: why not},
"bundle": JavaScript that defines `vegaEmbed`, or null}.
"""

import json
import sys
from typing import Any

import vl_convert


def main() -> None:
    """One request on standard input, one answer on standard output."""
    asked = json.load(sys.stdin)
    answer: dict[str, Any] = {"svg": {}, "errors": {}, "bundle": None}
    for name, spec in asked["specs"].items():
        try:
            drawn = vl_convert.vegalite_to_svg(spec, config=asked["config"], allowed_base_urls=[])
            answer["svg"][name] = drawn
        except ValueError as error:
            answer["errors"][name] = str(error)
    if asked["bundle"]:
        answer["bundle"] = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
