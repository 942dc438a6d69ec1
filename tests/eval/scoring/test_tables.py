"""Tables as text, CSV and LaTeX, against what a person would write."""

import argparse
import csv
from pathlib import Path

import pytest

from eval.scoring.tables import Table, add_table_flag, check_table, write_tables

TABLE = Table(
    ["percent", "mean\nIoU", "gain", "seconds\nper image"],
    [["network", "64.50", "-", "-"], ["CRF, w_1 = 5 & 50%", "66.00 ±0.10", "-1.50", "0.123"]],
)
TEXT = r"""
                           mean           seconds
percent                     IoU   gain  per image
-------------------------------------------------
network                   64.50      -          -
CRF, w_1 = 5 & 50%  66.00 ±0.10  -1.50      0.123
"""
CSV = """
percent,mean IoU,gain,seconds per image
network,64.50,,
"CRF, w_1 = 5 & 50%",66.00 ±0.10,-1.50,0.123
"""
LATEX = r"""
\begin{tabular}{lrrr}
\toprule
 & mean &  & seconds \\
percent & IoU & gain & per image \\
\midrule
network & 64.50 & -- & -- \\
CRF, w\_1 = 5 \& 50\% & 66.00 $\pm$0.10 & $-$1.50 & 0.123 \\
\bottomrule
\end{tabular}
"""


@pytest.mark.parametrize(("ending", "wanted"), [(".txt", TEXT), (".csv", CSV), (".tex", LATEX)])
def test_a_table_in_every_format(ending: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"table{ending}"
    write_tables(path, {"summary": TABLE})
    assert path.read_text(encoding="utf-8") == wanted[1:]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_every_further_table_has_a_file_of_its_own(tmp_path: Path) -> None:
    other = Table(["IoU"], [["cat"]])
    write_tables(tmp_path / "a.b.csv", {"summary": TABLE, "classes": other, "(80, 13)": other})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b-80-13.csv", "a.b-classes.csv", "a.b.csv"]
    assert (tmp_path / "a.b-classes.csv").read_text() == "IoU\ncat\n"


def test_a_reader_of_csv_gets_the_cells_back(tmp_path: Path) -> None:
    rows = [['a "quoted" name', "1,234"], ["two\nlines", "é ±1"]]
    write_tables(tmp_path / "t.csv", {"t": Table(["", "n"], rows)})
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["", "n"], *rows]


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        (r"runs\a_b", r"runs\textbackslash{}a\_b"),
        ("$5 #1 {x}", r"\$5 \#1 \{x\}"),
        ("~user^2", r"\textasciitilde{}user\textasciicircum{}2"),
        ("|dQ| <= 1 > 0", r"\textbar{}dQ\textbar{} \textless{}= 1 \textgreater{} 0"),
        ("[0, 1]", "{[}0, 1]"),
        ("*", "{*}"),
        ("atrous-conv", "atrous-conv"),
    ],
)
def test_special_characters_of_latex(cell: str, wanted: str) -> None:
    lines = Table([cell, "n"], [[cell, "1"]]).latex().splitlines()
    assert lines[2] == rf"{wanted} & n \\"
    assert lines[4] == rf"{wanted} & 1 \\"


def test_text_is_aligned() -> None:
    table = Table(["name", "two\nlines", "n"], [["a", "1.00", "20"], ["longer", "10.00", "3"]])
    assert str(table).splitlines() == [
        "          two",
        "name    lines   n",
        "-----------------",
        "a        1.00  20",
        "longer  10.00   3",
    ]


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="has 1 cells; wanted 2"):
        Table(["a", "b"], [["1"]])


@pytest.mark.parametrize("name", ["table", "table.png", "table.CSV", "folder.csv"])
def test_files_of_another_kind(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"--table is '.*'; wanted a file whose name ends in \.csv or \.tex or \.txt"):
        check_table(tmp_path / name)


def test_the_flag_of_argparse() -> None:
    parser = argparse.ArgumentParser()
    add_table_flag(parser)
    assert parser.parse_args(["--table", "a.tex"]).table == Path("a.tex")
    assert parser.parse_args([]).table is None
