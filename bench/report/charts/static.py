"""Specifications as SVG, without a browser."""

from bench.report.charts.spec import Spec, config


def svg(spec: Spec) -> str:
    """The picture, light, as the text of an SVG file. Nothing is asked of a network.

    Raises:
        ValueError: Vega-Lite cannot draw it.
    """
    import vl_convert

    return vl_convert.vegalite_to_svg(spec, config=config(), allowed_base_urls=[])
