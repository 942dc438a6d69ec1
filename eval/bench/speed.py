"""Time whole CRF inference against pydensecrf2 and SimpleCRF, and its growth, memory and training, after checking that
all systems give the same result.

python -m eval.bench.speed --image PHOTO.jpg --out eval/results/bench_crf.json        (pip install -e '.[bench]')

Smoothness theta_gamma 3 and appearance (80, 13) or (160, 3), symmetric normalization, T = 10, from the building of the
lattices to the last beliefs. Runs of the systems alternate and medians are compared, so that a drift of the machine
cancels; only ratios of one run mean something. Without --image a drawn scene is used, without --unary noise that is as
smooth as the scores of a network.

SimpleCRF needs NumPy below 2 and a C++ compiler: pip install 'numpy<2' setuptools, then
pip install --no-build-isolation SimpleCRF. It clips beliefs to 0.01..0.99 and returns labels only; it is compared on
unaries clipped likewise.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from crfrnn._command import exit_code
from eval.bench.growth_figure import growth_figure
from eval.bench.memory import measure_memory
from eval.bench.peers import PLAIN, PYDENSECRF, SIMPLECRF, versions, why_missing
from eval.bench.sections import FULL, QUICK, SECTIONS, Case, Inputs, cases, measure, measure_training
from eval.bench.tables import section_text
from eval.pictures.figures import save_figure
from eval.scoring.record import origin, write_json

NAME = "python -m eval.bench.speed"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(argv)
    if options.threads < 1 or options.repeats < 1:
        parser().error(f"got {options.threads} threads and {options.repeats} repeats; wanted at least 1 of each")
    return exit_code("eval.bench.speed", lambda: run(options, argv))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    found = argparse.ArgumentParser(
        prog=NAME, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--image", type=Path, help="a photograph (a drawn scene)")
    found.add_argument("--unary", type=Path, help="logits of a network, see eval/inputs/scores_file.py (noise)")
    found.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run (all)")
    found.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for our side, beside 1")
    found.add_argument("--repeats", type=int, default=5, help="timed runs of each system (5)")
    found.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    found.add_argument("--out", type=Path, help="JSON file for the figures; the plot goes beside it as PNG")
    return found


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print the tables, write the files. Raises as `Inputs` and `measure` do."""
    threads_before = torch.get_num_threads()
    plan, inputs = QUICK if options.quick else FULL, Inputs(options.image, options.unary)
    size, labels = inputs.common(options.quick)
    selected = [section for section in SECTIONS if section in options.only]
    todo = {section: cases(section, plan, size, labels, options.threads) for section in selected}
    sections: dict[str, list[dict[str, Any]]] = {section: [] for section in selected}

    def record(case: Case) -> dict[str, Any]:
        if case.section == "memory":
            return measure_memory(case, inputs)
        if case.section == "training":
            return measure_training(case, inputs, options.repeats, plan.budget_of_pairs)
        budget = plan.budget_of_pairs if case.section == "pairs" else plan.budget
        return measure(case, inputs, options.repeats, budget)

    try:
        with tqdm(total=sum(map(len, todo.values())), unit="case") as progress:
            for section in selected:
                progress.set_description(section)
                for case in todo[section]:
                    sections[section].append(record(case))
                    progress.update()
    finally:
        torch.set_num_threads(threads_before)

    missing = {system: why for system in (PLAIN, PYDENSECRF, SIMPLECRF) if (why := why_missing(system)) is not None}
    print("\n\n".join(section_text(section, records, missing) for section, records in sections.items()))
    for system, why in missing.items():
        print(f"\n{system} was left out: {why}")
    if options.out is not None:
        facts = {
            **origin("eval.bench.speed", argv),
            "threads": options.threads,
            "peers": versions(),
            "left out": missing,
            "image": "drawn scene" if options.image is None else options.image.name,
            "unary": "synthetic" if options.unary is None else options.unary.name,
            "sections": sections,
        }
        write_json(options.out, facts)
        figure = growth_figure(sections)
        if figure is not None:
            save_figure(figure, options.out.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
