from __future__ import annotations

from fidip.cli.progress import bar, track


def test_items_pass_unchanged_and_lazily(capsys) -> None:
    taken = []
    source = (taken.append(number) or number for number in range(5))
    tracked = track(source, "counting", total=5)
    assert next(tracked) == 0
    assert taken == [0]
    assert list(tracked) == [1, 2, 3, 4]
    assert list(track([], "nothing")) == []
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_nothing_is_shown(capsys) -> None:
    with bar("rendering", total=3) as show:
        for done in range(4):
            show(done)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_the_count_on_standard_error(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(range(3), "rendering")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "rendering" in err
    assert "3/3" in err
