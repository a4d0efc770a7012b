"""``fidip recipes``: the table, a recipe in full, and the numbers for a program."""

import json

from fidip.cli import main
from fidip.recipes import RECIPES


def test_the_table_has_a_line_for_every_recipe_with_its_published_number(tmp_path, capsys) -> None:
    assert main(["recipes", "--json", str(tmp_path / "recipes.json")]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("recipe ")
    assert [line.split()[0] for line in lines] == list(RECIPES)
    start = head.index("AP")
    for line, recipe in zip(lines, RECIPES.values(), strict=True):
        assert line[start : start + 4].strip() == (f"{recipe.published.ap:.1f}" if recipe.published else "")
    written = json.loads((tmp_path / "recipes.json").read_text())
    assert list(written) == list(RECIPES)
    assert written["table2-j"]["domain_weight"] == 0.0005
    assert written["table2-j"]["published"]["ap"] == 92.2
    assert written["fg-hrnet-w48-fidip"]["published"]["others"]["AR75"] == 99.0


def test_a_row_of_the_table_in_full(capsys) -> None:
    assert main(["recipes"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("table2-d "))
    assert line.split() == [
        "table2-d", "arXiv", "v1", "Table", "2", "d", "87.0", "0", "+", "504", "unlabelled", "pose-resnet-50-384x288",
        "flat", "0.0005", "res1-3", "10", "x", "128", "+", "80", "x", "85", "0.001",
    ]  # fmt: skip


def test_named_recipes_are_told_in_full(tmp_path, capsys) -> None:
    assert main(["recipes", "fg-hrnet-w48-fidip", "adult-small", "--json", str(tmp_path / "two.json")]) == 0
    printed = capsys.readouterr().out
    first, second = printed.split("\n\n")
    told = {line[4:40].strip(): line[40:] for line in first.splitlines()[1:] if line.startswith("    ")}
    assert (told["pretrain.epochs"], told["domain_weight"], told["frozen"]) == ("1", "0.0005", "res1, res2, res3")
    assert told["AR50"] == "99.0"
    assert "published in FG2021 generality FiDIP, on 100 test images: AP 93.6 with 200 + 1000 real and syn" in first
    assert "    alternation                         code: on every batch" in first
    assert second.startswith("adult-small: ours")
    assert "published" not in second
    assert list(json.loads((tmp_path / "two.json").read_text())) == ["fg-hrnet-w48-fidip", "adult-small"]


def test_an_unknown_name_is_told_with_its_neighbours(capsys) -> None:
    assert main(["recipes", "table2"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("fidip: no recipe 'table2'; did you mean table2-")
    assert complaint.count("\n") == 1
