"""Charts as SVG within the page: their colours follow its theme, their text is text."""

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from src.drawing import BLUE, GRAY, GREEN, ORANGE, render_svg
from src.evaluation.artefacts import list_coverage_points
from src.evaluation.selective import RiskCoverage
from src.evaluation_plotting import INK, ReliabilityPanel, draw_coverage, draw_reliability
from src.novelty_plotting import draw_novelty
from src.plotting import draw_training_curve, find_phase_boundary

_SIZE = (440, 320)  # pixels, at which text can be read on a telephone
# Colours that the page says anew for its dark theme; what black is becomes the colour of text.
_THEMED = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    GRAY: "var(--muted)",
    "#b0b0b0": "var(--line)",
    INK: "currentColor",
    "#000000": "currentColor",
}


def draw_curves(name: str, history: dict[str, list[float]], best_epoch: int | None) -> list[Markup]:
    """Accuracy and loss of a model's training and validation over the epochs; empty for a history without them, and of
    a single epoch, which is no curve."""
    boundary, charts = find_phase_boundary(history), []
    for figure in ("accuracy", "loss"):
        values, validation = history.get(figure), history.get(f"val_{figure}")
        if not values or not validation or len(values) < 2:
            continue
        description = (
            f"{name}: {figure} over {len(values)} epochs; training ends at {values[-1]:.3f}, validation at "
            f"{validation[-1]:.3f}"
        )
        draw = functools.partial(
            draw_training_curve, history=history, name=figure, best_epoch=best_epoch, phase_boundary=boundary
        )
        charts.append(draw_chart(draw, description))
    return charts


def draw_honesty(name: str, bins: Sequence[dict], ece: float) -> Markup:
    """The reliability diagram of the bins that metrics.json holds."""
    panel = ReliabilityPanel(
        "",
        np.array([row["n"] for row in bins]),
        np.array([row["right"] for row in bins]),
        np.array([np.nan if row["confidence"] is None else row["confidence"] for row in bins], float),
    )

    def draw(axes: Axes) -> None:
        draw_reliability(axes, panel)
        axes.set(xlabel="confidence", ylabel="share of right answers")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2, fontsize=8.5)

    return draw_chart(draw, f"{name}: share of right answers against confidence; expected calibration error {ece:.3f}")


def draw_refusal(name: str, curve: RiskCoverage) -> Markup:
    """Accuracy against the share of pictures that get an answer."""
    points, marked = list_coverage_points(curve)
    half = curve.at(0.5)
    return draw_chart(
        lambda axes: draw_coverage(axes, points, marked),
        f"{name}: accuracy {curve.points[-1].accuracy:.3f} where every picture is answered, {half.accuracy:.3f} where "
        "only the surest half is",
    )


def draw_novelties(name: str, histogram: Mapping[str, Sequence]) -> Markup:
    """How unlike the training pictures others are, of the histogram that metrics.json holds."""
    told = ", ".join(f"{sum(counts)} {kind.replace('_', '-')}" for kind, counts in histogram.items() if kind != "edges")
    return draw_chart(
        lambda axes: draw_novelty(axes, histogram), f"{name}: novelty of {told} pictures; above 1 they count as unlike"
    )


def draw_chart(draw: Callable[[Axes], None], description: str) -> Markup:
    """One pair of axes, with its description for those who do not see it."""
    svg = render_svg(draw, *_SIZE)
    svg = svg[svg.index("<svg") :]
    for color, themed in _THEMED.items():
        svg = svg.replace(color.lower(), themed)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)  # of all SVGs in the page, which has its own
    unique = hashlib.sha256(f"{description}{svg}".encode(errors="replace")).hexdigest()[:12]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="i{unique}-\1"', svg)
    svg = re.sub(r'(href="|url\()#([^")]+)', rf"\1#i{unique}-\2", svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    return Markup('<div class="chart" role="img" aria-label="{}">{}</div>').format(description, Markup(svg))
