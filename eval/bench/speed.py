"""Time whole CRF inference with this project, pydensecrf2 and SimpleCRF, after checking that all give the same result.

python -m eval.bench.speed --image PHOTO.jpg --out eval/results/bench_crf.json        (pip install -e '.[bench]')

It also measures how time grows with the size of the task, peak memory, and training. The CRF has smoothness theta_gamma 3,
appearance (80, 13) or (160, 3), symmetric normalization and T = 10. Times run from building the lattices to the last
beliefs. The systems take turns and their medians are compared, so that a drift of the machine cancels; only ratios within
one run mean something. Without --image it draws a scene; without --unary it makes noise as smooth as a network's scores.

SimpleCRF needs NumPy below 2 and a C++ compiler: pip install 'numpy<2' setuptools, then
pip install --no-build-isolation SimpleCRF. It clips beliefs to 0.01..0.99 and returns only labels, so it is compared on
unaries that are clipped in the same way.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crfrnn._command import exit_code, exit_with
from eval.bench.tables import PLAIN, PYDENSECRF, SECTIONS, SIMPLECRF
from eval.pictures.formats import add_figures_flag
from eval.scoring.tables import add_table_flag, check_table, write_tables

if TYPE_CHECKING:
    from eval.bench.sections import Case, Inputs, Plan

NAME = "python -m eval.bench.speed"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(argv)
    return exit_code("eval.bench.speed", lambda: run(options, argv))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    found = argparse.ArgumentParser(
        prog=NAME, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--image", type=Path, help="a photograph (default: a drawn scene)")
    found.add_argument(
        "--unary", type=Path, help="logits of a network, see eval/inputs/scores_file.py (default: noise)"
    )
    found.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run (default: all)")
    found.add_argument("--threads", type=int, help="threads for our side, in addition to 1 (default: as torch chooses)")
    found.add_argument("--beside", type=int, default=0, help="busy processes that run beside the systems (default: 0)")
    found.add_argument("--repeats", type=int, default=5, help="timed runs of each system (default: 5)")
    found.add_argument("--quick", action="store_true", help="tiny sizes, to check that everything runs")
    found.add_argument("--out", type=Path, help="JSON file for the figures; the plot gets the same name")
    add_table_flag(found)
    add_figures_flag(found)
    return found


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print the tables, write the files. Raises as `Inputs` and `measure` do."""
    import torch

    from eval.bench.peers import versions, why_missing
    from eval.bench.sections import FULL, QUICK, Inputs
    from eval.bench.tables import section_table, section_title
    from eval.bench.timing import busy_processes
    from eval.inputs.flags import check_counts, check_json
    from eval.scoring.record import origin

    check_table(options.table)
    check_counts(1, threads=options.threads, repeats=options.repeats)
    check_counts(0, beside=options.beside)
    check_json("--out", options.out)
    threads_before = torch.get_num_threads()
    threads = options.threads or threads_before
    plan, inputs = QUICK if options.quick else FULL, Inputs(options.image, options.unary)
    try:
        with busy_processes(options.beside):
            sections = measure_sections(options, plan, inputs, threads)
    finally:
        torch.set_num_threads(threads_before)

    missing = {system: why for system in (PLAIN, PYDENSECRF, SIMPLECRF) if (why := why_missing(system)) is not None}
    tables = {section: section_table(section, records, missing) for section, records in sections.items()}
    print("\n\n".join(f"{section_title(name, records)}\n\n{tables[name]}" for name, records in sections.items()))
    write_tables(options.table, tables)
    for system, why in missing.items():
        print(f"\n{system} was left out: {why}")
    if options.out is not None:
        facts = {
            **origin("eval.bench.speed", argv),
            "threads": threads,
            "busy processes beside": options.beside,
            "peers": versions(),
            "left out": missing,
            "image": "drawn scene" if options.image is None else options.image.name,
            "unary": "synthetic" if options.unary is None else options.unary.name,
            "sections": sections,
        }
        write(options.out, facts, options.figures)
    return 0


def measure_sections(
    options: argparse.Namespace, plan: "Plan", inputs: "Inputs", threads: int
) -> dict[str, list[dict[str, Any]]]:
    """The records of every selected section."""
    from tqdm import tqdm

    from eval.bench.sections import cases

    size, labels = inputs.common(options.quick)
    selected = [section for section in SECTIONS if section in options.only]
    todo = {section: cases(section, plan, size, labels, threads) for section in selected}
    sections: dict[str, list[dict[str, Any]]] = {section: [] for section in selected}
    with tqdm(total=sum(map(len, todo.values())), unit="case") as progress:
        for section in selected:
            progress.set_description(section)
            for case in todo[section]:
                sections[section].append(record(case, plan, inputs, options.repeats))
                progress.update()
    return sections


def record(case: "Case", plan: "Plan", inputs: "Inputs", repeats: int) -> dict[str, Any]:
    """The figures of one case."""
    from eval.bench.memory import measure_memory
    from eval.bench.sections import measure, measure_training

    if case.section == "memory":
        return measure_memory(case, inputs)
    if case.section == "training":
        return measure_training(case, inputs, repeats, plan.budget_of_pairs)
    budget = plan.budget_of_pairs if case.section == "pairs" else plan.budget
    return measure(case, inputs, repeats, budget)


def write(out: Path, facts: dict[str, Any], figures: str) -> None:
    """Write the JSON file and, if a growth section was measured, its plot."""
    from eval.bench.growth_figure import growth_figure
    from eval.pictures.figures import save_figure
    from eval.scoring.record import write_json

    write_json(out, facts)
    figure = growth_figure(facts["sections"])
    if figure is not None:
        save_figure(figure, out.with_suffix(f".{figures}"))


if __name__ == "__main__":
    exit_with(main)
