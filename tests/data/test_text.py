"""Tables of labelled text: what is read, and how a broken one is refused."""

import gzip
import json

import numpy as np
import pytest

from edgekit.data.tables import MAX_CELL_BYTES, read_table
from edgekit.data.text import PAIR, TextSource, load_text
from edgekit.errors import ConfigError, FormatError

ROWS = [("turn on the lamp", "on"), ("lamp off", "off"), ('say "hi", now', "talk")] * 20


def _csv(path, rows=ROWS, header="text,label"):
    lines = [header] + [f'"{text.replace(chr(34), chr(34) * 2)}",{label}' for text, label in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_all_kinds_give_the_same_rows(tmp_path):
    found = []
    _csv(tmp_path / "a.csv")
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in ROWS))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"label": y, "text": t, "more": 1}) + "\n" for t, y in ROWS)
    )
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for name in ("a.csv", "a.tsv", "a.jsonl", "b.csv.gz"):
        rows = read_table(tmp_path / name, ("text", "label"))
        found.append([row.cells for row in rows])
    assert found == [ROWS] * 4


def test_lines_of_rows_with_line_breaks_and_empty_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbftext,label\r\n"two\nlines",a\r\n\r\nlast,b\r\n')
    assert [(row.line, row.cells) for row in read_table(path, ("label", "text"))] == [
        (2, ("a", "two\nlines")),
        (5, ("b", "last")),
    ]


def test_parts_are_stratified_and_never_from_the_test_file(tmp_path):
    train = _csv(tmp_path / "train.csv", [(f"{t} {i}", y) for i, (t, y) in enumerate(ROWS * 5)])
    test = _csv(tmp_path / "test.csv", [("x", "on"), ("y", "off")])
    data = load_text(TextSource(train, test=test))
    assert data.label_names == ("off", "on", "talk")
    assert (len(data.train), len(data.validation), len(data.test)) == (270, 30, 2)
    assert np.bincount(data.validation.labels).tolist() == [10, 10, 10]
    assert not set(data.validation.texts) & (set(data.train.texts) | set(data.test.texts))
    assert data.test.labels.tolist() == [1, 0]
    again = load_text(TextSource(train, test=test))
    assert again.validation.texts == data.validation.texts
    other = load_text(TextSource(train, test=test, seed=2))
    assert other.validation.texts != data.validation.texts
    alone = load_text(TextSource(train))
    assert (len(alone.train), len(alone.validation), len(alone.test)) == (243, 27, 30)


def test_class_of_one_row_is_learned_from(tmp_path):
    train = _csv(tmp_path / "train.csv", [*ROWS, ("only once", "rare")])
    data = load_text(TextSource(train, share=0.3))
    rare = data.label_names.index("rare")
    assert rare in data.train.labels
    assert rare not in data.validation.labels


def test_pairs_multi_labels_and_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(
            json.dumps({"a": f"one {i}", "b": "two", "tools": ["x", "y"][: i % 3], "n": i / 2})
            + "\n"
            for i in range(40)
        )
    )
    multi = load_text(TextSource(path, text="a", pair="b", label="tools", labels="multi"))
    assert multi.label_names == ("x", "y")
    assert multi.train.labels.shape[1:] == (2,)
    assert multi.train.texts[0].endswith(f"{PAIR}two")
    assert {tuple(row) for row in multi.train.labels.tolist()} == {(0, 0), (1, 0), (1, 1)}
    number = load_text(TextSource(path, text="a", label="n", labels="number"))
    assert number.label_names == ()
    assert number.outputs == 1
    assert number.train.labels.dtype == np.float32
    (tmp_path / "a.csv").write_text("text,tags\n" + "hello,a; b\nbye,\n" * 9)
    cells = load_text(TextSource(tmp_path / "a.csv", label="tags", labels="multi"))
    assert cells.label_names == ("a", "b")


def test_numbered_classes_are_in_order_of_number(tmp_path):
    train = _csv(tmp_path / "a.csv", [(f"t {i}", str(i % 11)) for i in range(110)])
    assert load_text(TextSource(train)).label_names == tuple(str(i) for i in range(11))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"a\.csv: is empty"),
        ("a.csv", b" \n\n", r"a\.csv: is empty"),
        ("a.csv", b"text,label\n", r"a\.csv: has no rows"),
        ("a.csv.gz", b"text,label\nx,y\n", r"a\.csv\.gz: is not a whole gzip file"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\n" * 99, mtime=0)[:-9],
            r"is not a whole gzip file",
        ),
        ("a.csv", b"text,lable\nx,y\n", r"a\.csv:2: has no column 'label'; did you mean 'lable'"),
        ("a.csv", b"x,y\n1,2\n", r"has no column 'label'; there are: 'x', 'y'"),
        ("a.csv", b"text,label,text\na,b,c\n", r"a\.csv:1: column 'text' appears twice"),
        ("a.csv", b"text,label\na,b\nc\n", r"a\.csv:3: has 1 cells, the first line names 2"),
        ("a.csv", b'text,label\n"a,b\n', r"a\.csv:\d: is no row of a table"),
        ("a.csv", b"text,label\nok,b\ncaf\xe9,b\n", r"a\.csv:3: is not UTF-8 text \(byte 0xe9\)"),
        ("a.csv", b"text,label\na,b\n  ,b\n", r"a\.csv:3: 'text' is empty; remove the row"),
        ("a.csv", b"text,label\na,b\nc, \n", r"a\.csv:3: 'label' is empty"),
        ("a.csv", b"text,label\na," + b"x" * (MAX_CELL_BYTES + 1), r"a\.csv:2: column 'label' has"),
        ("a.csv", b"text,label\na,b\n" + b"w " * 10**6 + b",b\n", r"a\.csv:3: .*1,000,000 bytes"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', r"a\.jsonl:2: is not JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: is '\[1\]', must be an object"),
        ("a.jsonl", b'{"text": 3, "label": "b"}\n', r"a\.jsonl:1: 'text' is 3, must be a text"),
        ("a.jsonl", b'{"text": "\\ud800", "label": "b"}\n', r"a\.jsonl:1: .* lone surrogate"),
        ("a.jsonl", b'{"text": "a", "label": null}\n', r"'label' is None, must be a class name"),
        ("a.txt", b"hello\n", r"ends with '\.txt'; a table is \.csv, \.tsv, \.jsonl"),
    ],
)
def test_broken_files_are_refused_by_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        load_text(TextSource(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_learned_is_refused(tmp_path):
    one = _csv(tmp_path / "one.csv", [("a", "same"), ("b", "same")])
    with pytest.raises(ConfigError, match=r"all 2 rows have the label 'same'.* two classes"):
        load_text(TextSource(one))
    few = _csv(tmp_path / "few.csv", [("a", "x"), ("b", "y")])
    with pytest.raises(ConfigError, match=r"2 rows are too few to split 10% off"):
        load_text(TextSource(few))
    train = _csv(tmp_path / "train.csv")
    test = _csv(tmp_path / "test.csv", [("a", "on"), ("b", "offf")])
    with pytest.raises(FormatError, match=r"test\.csv:3: label 'offf' .*did you mean 'off'"):
        load_text(TextSource(train, test=test))
    with pytest.raises(FormatError, match=r"train\.csv:2: 'label' is 'on', must be a number"):
        load_text(TextSource(train, labels="number"))
    with pytest.raises(FormatError, match=r"nowhere\.csv: cannot be read: No such file"):
        load_text(TextSource(tmp_path / "nowhere.csv"))


@pytest.mark.data("data")
@pytest.mark.parametrize(
    ("folder", "classes", "rows"), [("snips", 7, 13784), ("emotion", 6, 16000)]
)
def test_real_sets_are_read(data_dir, folder, classes, rows):
    source = TextSource(data_dir / folder / "train.csv.gz", test=data_dir / folder / "test.csv.gz")
    data = load_text(source)
    assert len(data.label_names) == classes
    assert len(data.train) + len(data.validation) == rows
