"""Choose the tools that a request needs, before a language model sees their descriptions.

    python examples/tool_retrieval/run.py

A tagger with one sigmoid per tool and a threshold keeps the few tools whose descriptions go into
the prompt. What counts is recall: a tool that is left out cannot be called.

Source: TinyAgent, its ToolRAG (SqueezeAILab/TinyAgent): 16 tools, threshold 0.5. Their classifier
is a DeBERTa-v3-small; this one has less than 100 kB. Requests here come from a grammar, theirs did
not, so the figures do not compare.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from edgekit.cli.main import main
from edgekit.config import load_config
from edgekit.data.commands import fill
from edgekit.data.files import write_atomic
from edgekit.export.text import answer_texts, open_text_project

THRESHOLD = 0.5
WORDS = {
    "who": (
        "anna",
        "my boss",
        "the team",
        "lutfi",
        "doctor smith",
        "my sister",
        "sid",
        "the landlord",
    ),
    "topic": (
        "the budget",
        "our trip",
        "the report",
        "lunch",
        "the new project",
        "rent",
        "the demo",
    ),
    "time": (
        "tomorrow at nine",
        "on friday",
        "next week",
        "at noon",
        "this evening",
        "in two hours",
    ),
    "place": ("the station", "apple park", "the dentist", "a coffee shop", "the airport", "home"),
    "file": ("slides", "invoice.pdf", "thesis.pdf", "the contract", "notes.docx", "paper.pdf"),
}
TOOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "get_phone_number": (
        ("find the phone number of {who}", "what is {who}'s number", "look up how to call {who}"),
        ("which number does {who} have",),
    ),
    "get_email_address": (
        (
            "find the email address of {who}",
            "what is {who}'s email",
            "look up {who}'s address for mail",
        ),
        ("which mail address does {who} use",),
    ),
    "create_calendar_event": (
        (
            "schedule a meeting about {topic} {time}",
            "put {topic} into my calendar {time}",
            "create an event for {topic} {time}",
            "book {time} for {topic}",
        ),
        ("block my calendar {time} for {topic}",),
    ),
    "open_file": (
        ("open {file}", "find and open {file}", "show me {file}", "bring up {file}"),
        ("pull up {file} on the screen",),
    ),
    "summarize_pdf": (
        ("summarize {file}", "give me a summary of {file}", "what does {file} say in short"),
        ("sum up {file} in a few lines",),
    ),
    "compose_new_email": (
        (
            "write an email to {who} about {topic}",
            "send {who} an email about {topic}",
            "draft a mail to {who} on {topic}",
        ),
        ("email {who} regarding {topic}",),
    ),
    "reply_to_email": (
        (
            "reply to the email of {who}",
            "answer {who}'s mail about {topic}",
            "respond to {who}'s email",
        ),
        ("write back to {who}'s last mail",),
    ),
    "forward_email": (
        (
            "forward the email about {topic} to {who}",
            "pass {who} the mail on {topic}",
            "forward this message to {who}",
        ),
        ("send the mail about {topic} on to {who}",),
    ),
    "maps_open_location": (
        ("show {place} on the map", "where is {place}", "open maps at {place}"),
        ("find {place} on a map",),
    ),
    "maps_show_directions": (
        (
            "how do i get to {place}",
            "directions to {place}",
            "navigate to {place}",
            "show me the way to {place}",
        ),
        ("guide me to {place}",),
    ),
    "create_note": (
        (
            "create a note about {topic}",
            "make a new note on {topic}",
            "write a note called {topic}",
        ),
        ("start a fresh note for {topic}",),
    ),
    "open_note": (
        ("open my note about {topic}", "show the note on {topic}", "read me the note {topic}"),
        ("get me the note with {topic}",),
    ),
    "append_note": (
        (
            "add {topic} to my note",
            "append {topic} to the note",
            "put {topic} at the end of my note",
        ),
        ("extend my note with {topic}",),
    ),
    "create_reminder": (
        (
            "remind me of {topic} {time}",
            "set a reminder for {topic} {time}",
            "do not let me forget {topic} {time}",
        ),
        ("give me a nudge about {topic} {time}",),
    ),
    "send_sms": (
        (
            "text {who} about {topic}",
            "send an sms to {who}",
            "message {who} that i come {time}",
            "tell {who} by text message about {topic}",
        ),
        ("drop {who} a text on {topic}",),
    ),
    "get_zoom_link": (
        (
            "get a zoom link for {time}",
            "create a zoom meeting about {topic}",
            "set up a zoom call {time}",
        ),
        ("arrange a zoom room for {topic}",),
    ),
}
JOINTS = (" and ", " and then ", ", then ", ", also ", " and after that ")
PROJECT = """[project]
name = "tools"
task = "text"
[data]
train = "train.jsonl"
test = "test.jsonl"
label = "tools"
labels = "multi"
license = "CC0-1.0"
[model.sizes]
length = 40
hidden = 64
reduced = 32
layers = 1
kernel = 5
attention = false
[train]
epochs = {epochs}
threshold = {threshold}
label_smoothing = 0.0
[accept]
min_accuracy = 0.9
"""


def make_rows(count: int, rng: np.random.Generator, *, held_out: bool) -> bytes:
    """Write requests for one to three tools as JSON lines."""
    names, lines, seen = list(TOOLS), [], set[str]()
    while len(lines) < count:
        chosen = rng.choice(len(names), int(rng.integers(1, 4)), replace=False).tolist()
        parts = []
        for index in chosen:
            train, test = TOOLS[names[index]]
            # Half of the test phrases are those of training, with other words around them.
            phrases = train + test if held_out else train
            parts.append(fill(phrases[int(rng.integers(len(phrases)))], WORDS, rng))
        text = parts[0] + "".join(f"{rng.choice(JOINTS)}{part}" for part in parts[1:])
        if text not in seen:
            seen.add(text)
            lines.append(json.dumps({"text": text, "tools": [names[i] for i in chosen]}))
    return ("\n".join(lines) + "\n").encode()


def run(out: Path, *, quick: bool) -> dict[str, float]:
    """Write the project, train, quantize, and measure what the prompt would be spared."""
    rng = np.random.default_rng(1)
    rows, epochs = (600, 2) if quick else (6000, 10)
    write_atomic(out / "train.jsonl", make_rows(rows, rng, held_out=False))
    write_atomic(out / "test.jsonl", make_rows(rows // 5, rng, held_out=True))
    text = PROJECT.format(epochs=epochs, threshold=THRESHOLD)
    worse = "100000" if quick else "8"
    write_atomic(out / "edgekit.toml", f"{text}max_worse = {worse}\n".encode())
    for command in ("train", "quantize"):
        if main([command, "--project", str(out)]):
            raise SystemExit(1)
    project = open_text_project(load_config(out))
    data = project.data.test
    source = (project.run / "model.tflite").read_bytes()
    logits = answer_texts(source, project.tokenizer, data.texts)
    kept = 1 / (1 + np.exp(-logits)) > THRESHOLD
    wanted = data.labels > 0
    found = {
        "recall": float((kept & wanted).sum() / wanted.sum()),
        "all_found": float(np.mean(~(wanted & ~kept).any(axis=1))),
        "tools_kept": float(kept.sum(axis=1).mean()),
        "tools_needed": float(wanted.sum(axis=1).mean()),
        "model_bytes": float(len(source)),
    }
    print(
        f"recall {found['recall']:.1%}; every needed tool kept in {found['all_found']:.1%} of"
        f" {len(data):,} requests"
    )
    print(
        f"{found['tools_kept']:.2f} of {len(TOOLS)} tools go into the prompt,"
        f" {found['tools_needed']:.2f} are needed; the model has {len(source):,} bytes"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/examples/tool_retrieval"))
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    options = parser.parse_args()
    run(options.out, quick=options.quick)
