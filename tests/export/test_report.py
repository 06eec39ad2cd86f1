"""The report page: whole, self-contained, and harmless whatever the names are."""

import doctest
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from edgekit.export import charts
from edgekit.export.report import (
    Accuracy,
    Confusion,
    Federated,
    LayerRow,
    Memory,
    Report,
    RoundRow,
    Segment,
    SummaryRow,
    TensorLife,
    TimelineEvent,
    render_report,
    write_report,
)

FULL = Report(
    title="digits on mps2_an386",
    subtitle="tinyvit 2, 14,782 parameters, int8; firmware 0.1.0",
    summary=(
        SummaryRow("float accuracy", "98.5 %", ">= 96 %", True),
        SummaryRow("int8 accuracy", "98.5 %", ">= 95 %", True),
        SummaryRow("outputs equal on the board", "100 of 100", "all", True),
        SummaryRow("best single device", "65.0 %"),
        SummaryRow("fits microbit_v1", "no", "no", None),
        SummaryRow("inference", "5.3 M instructions", "< 5 M", False),
    ),
    accuracies=(
        Accuracy("float", 0.985, 540, "Keras", 0.96),
        Accuracy("int8", 0.983, 540, "LiteRT reference", 0.95),
        Accuracy("board", 0.983, 540, "host C, 100 of them emulated"),
    ),
    confusion=Confusion(
        tuple("0123456789"),
        tuple(
            tuple(
                52 if i == j else (2 if (i, j) == (8, 1) else int((i * 3 + j) % 17 == 0))
                for j in range(10)
            )
            for i in range(10)
        ),
        "int8 model, 540 test images",
    ),
    memory=Memory(
        board="mps2_an386",
        flash=(
            Segment("firmware code", 61_200),
            Segment("slot A", 131_072),
            Segment("slot B", 131_072),
            Segment("learn pages", 32_768),
        ),
        flash_limit=1_048_576,
        ram=(Segment("arena", 9_216), Segment("static", 40_100), Segment("stack", 16_384)),
        ram_limit=262_144,
        arena_bytes=9216,
        tensors=tuple(
            TensorLife(f"block{i}.add", (i % 3) * 3072, 3072 - 700 * (i % 2), i, i + 1 + i % 2)
            for i in range(24)
        ),
    ),
    layers=tuple(
        LayerRow(f"tinyvit/block0.attention.layer{i}/Conv2D", op, 10_000 + 37_111 * (i % 7), macs)
        for i, (op, macs) in enumerate(
            [("CONV_2D", 25_000), ("DEPTHWISE_CONV_2D", 14_000), ("ADD", 0), ("SOFTMAX", 0)] * 4
        )
    ),
    timeline=(
        TimelineEvent(0.0, "server", "release 2 published", True),
        TimelineEvent(1.2, "dev-board", "desired", None),
        TimelineEvent(4.8, "dev-board", "installed version 2", True),
        TimelineEvent(9.0, "server", "release 3 published", True),
        TimelineEvent(12.4, "dev-board", "refused: golden outputs differ", False),
        TimelineEvent(12.6, "server", "rollout halted", False),
        TimelineEvent(20.0, "dev-virtual-1", "installed", True),
    ),
    federated=Federated(
        before=0.696,
        rounds=tuple(
            RoundRow(i + 1, value, 5) for i, value in enumerate((0.881, 0.878, 0.885, 0.889, 0.896))
        ),
        best_single=0.646,
        target=0.85,
        note="5 devices, FedAvg, rate 0.02, 1 epoch",
    ),
    notes=("Instructions are counted by the emulator, not time on a chip.",),
)


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta",):
            self.open.append(tag)
        self.found += [(k, v) for k, v in attrs if k in ("src", "href", "srcset", "onload")]
        assert tag not in ("script", "link", "img", "iframe")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("report", [FULL, Report(title="empty")], ids=["full", "empty"])
def test_page_is_balanced_and_names_nothing_outside(report):
    page = render_report(report)
    parser = _Links()
    parser.feed(page)
    assert parser.open == []
    assert parser.found == []
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert len(page) < 1_000_000


def test_every_picture_is_well_formed():
    page = render_report(FULL)
    pictures = page.split("<svg")[1:]
    assert len(pictures) >= 7
    for picture in pictures:
        ElementTree.fromstring("<svg" + picture.split("</svg>")[0] + "</svg>")


def test_full_report_shows_every_figure():
    page = render_report(FULL)
    for text in ("98.5%", "52", "61.2 kB", "9.2 kB", "refused: golden outputs differ", "89.6%"):
        assert text in page, text


def test_empty_sections_are_left_out():
    assert "<section" not in render_report(Report(title="t"))


def test_names_cannot_become_markup():
    evil = '<script>alert("x")</script>$title'
    report = Report(
        title=evil,
        subtitle=evil,
        summary=(SummaryRow(evil, evil, evil, True),),
        layers=(LayerRow(evil, evil, 1),),
        timeline=(TimelineEvent(0, evil, evil, False),),
        notes=(evil,),
    )
    assert "<script" not in render_report(report)


def test_equal_reports_give_equal_bytes(tmp_path):
    write_report(FULL, tmp_path / "a" / "report.html")
    write_report(FULL, tmp_path / "b.html")
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_memory_beyond_the_limit_is_said():
    memory = Memory("tiny", (Segment("all", 3000),), 2000, (), 1000)
    assert "does not fit" in render_report(Report(title="t", memory=memory))


def test_confusion_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="is not 2x2"):
        Confusion(("a", "b"), ((1, 2),))


def test_units():
    assert doctest.testmod(charts).failed == 0


@pytest.mark.browser
def test_page_opens_in_a_browser_without_a_complaint(tmp_path):
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(FULL, page)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    done = subprocess.run(
        [
            chromium or "google-chrome",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}",
            "--window-size=1100,3000",
            "--enable-logging=stderr",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert picture.stat().st_size > 50_000
    assert "CONSOLE" not in done.stderr
