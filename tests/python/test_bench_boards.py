# SPDX-License-Identifier: Apache-2.0
"""Figures of boards: rates are those of the simulated card, areas are given."""

import io
import json
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from headrace import bench_boards, cli
from headrace.hw.board import area, clocks
from stations import picture


AREA = {"card": dict(lut=50_000, ff=60_000, dsp=100, bram36=90.5, uram=0, levels=20),
        "lane": dict(lut=40_000, ff=50_000, dsp=90, bram36=80, uram=0, levels=18), "lanes": 3}


def test_boards(sim_built, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(area, "area", lambda board, folder, known: AREA)
    (tmp_path / "a.jpg").write_bytes(picture(1, (200, 100)))
    (tmp_path / "ecpix5").mkdir()
    (tmp_path / "ecpix5/timing.json").write_text(json.dumps(
        {"fmax": {"card": {"achieved": 61.5, "constraint": 80},
                  "rx": {"achieved": 130.0, "constraint": 125}}}))
    figures = bench_boards.boards(tmp_path / "a.jpg", ["u280", "u55c", "ecpix5"], build=tmp_path)
    u280, u55c, ecpix5 = figures
    names = dict(board="", title="", part="")
    assert u280 | names == u55c | names
    assert u280["shares"]["lut"] == pytest.approx(50_000 / 1_303_680)
    # Two lanes at 150 MHz.
    assert u280["images_per_second"] == pytest.approx(2 * 150e6 / u280["cycles"])
    assert u280["fitting"]["images_per_second"] == pytest.approx(3 * 150e6 / u280["cycles"])
    assert u280["bytes"] == (tmp_path / "a.jpg").stat().st_size
    assert ecpix5["routed"] == {"card": 61.5, "rx": 130.0}
    text = bench_boards.table(figures)
    assert "| 61.5, 130.0 routed |" in text and "| 150 asked, 20 levels |" in text
    assert "| 50,000 (4%) |" in text and "| none |" in text
    picture_of = ElementTree.fromstring(bench_boards.picture(figures))
    assert len(picture_of.findall("{*}rect")) == 1 + 5 * len(figures)


def test_command(sim_built, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(area, "area", lambda board, folder, known: AREA)
    (tmp_path / "a.jpg").write_bytes(picture(1, (200, 100)))
    assert cli.main(["bench", "boards", str(tmp_path / "a.jpg"), "--board", "u50", "-o",
                     str(tmp_path / "new")]) == 0
    assert re.findall(r"^\| (\w+) \| [0-9,]+ \(", capsys.readouterr().out, re.M) == ["u50"]
    assert ">u50<" in (tmp_path / "new/boards.svg").read_text()


def test_seeds(tmp_path, monkeypatch):
    """With several, the clocks are those of the best, and all are listed."""
    rate = {"file": "200 x 100", "bytes": 5000, "cycles": 1000.0, "beats": 10.0}
    monkeypatch.setattr(bench_boards, "lane_rate", lambda config, name, data: rate)
    monkeypatch.setattr(area, "area", lambda board, folder, known: AREA)
    found = {1: {"card": (75, 76.5), "rx": (125, 120.0)}, 3: {"card": (75, 74.0), "rx": (125, 150)}}
    monkeypatch.setattr(clocks, "place", lambda board, folder, seeds: {n: found[n] for n in seeds})
    (tmp_path / "a.jpg").write_bytes(picture(1, (200, 100)))
    figures = bench_boards.boards(tmp_path / "a.jpg", ["ecpix5", "u50"], seeds=[1, 3])
    assert figures[0]["routed"] == {"card": 74.0, "rx": 150}
    assert figures[0]["images_per_second"] == pytest.approx(74e3)
    assert not figures[1]["routed"] and not figures[1]["placements"]
    assert "| 74.0, 150.0 routed; seed 1: 76.5, 120.0; seed 3: 74.0, 150.0 |" in \
        bench_boards.table(figures)


def test_shrunk():
    data = picture(2, (200, 100))
    assert bench_boards.shrunk(data, 200) is data
    assert Image.open(io.BytesIO(bench_boards.shrunk(data, 96))).size == (96, 48)


def test_errors(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(picture(3))
    with pytest.raises(ValueError, match="^Board must be one of u55c, .*, not 'u56'$"):
        bench_boards.boards(tmp_path / "a.jpg", ["u56"])
    assert cli.main(["bench", "boards", "a", "b"]) == 1
    assert capsys.readouterr().err == "headrace: Give one file to bench boards\n"
