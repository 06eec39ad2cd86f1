"""People with their samples: drawers of Omniglot, subjects of HAR, speakers of digits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.federated.fast import Shard
from edgekit.federated.nets import Float32Array

Labels = npt.NDArray[np.integer]
WINDOW, HOP = 128, 64  # samples at 50 Hz, as in the published windows
BANDS = 8
HAR_FEATURES = 6 * (5 + BANDS)
MELS, TIMES = 16, 12
FSDD_FEATURES = MELS * TIMES
SIDE = 28
SHIFT = 2  # pixels
TURNS = (-15.0, -7.5, 0.0, 7.5, 15.0)  # degrees


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One person's samples.

    Attributes:
        x: Inputs, `[N, d]`.
        y: Classes, `[N]`.
        distorted: For pictures, turned copies `[N, turns, d]`; more samples of a class are these,
            shifted at random.
    """

    x: Float32Array
    y: Labels
    distorted: Float32Array | None = None

    def task(
        self, rng: np.random.Generator, ways: int, shots: int, queries: int
    ) -> tuple[Shard, Shard]:
        """Draw classes, `shots` samples of each, and up to `queries` others of each."""
        classes = np.unique(self.y)
        if len(classes) > ways:
            classes = rng.choice(classes, ways, replace=False)
        support: list[tuple[Float32Array, int]] = []
        query: list[tuple[Float32Array, int]] = []
        for label, name in enumerate(classes):
            own = rng.permutation(np.flatnonzero(self.y == name))
            samples = [self.x[index] for index in own[: shots + queries]]
            while self.distorted is not None and len(samples) < shots + queries:
                samples.append(_shifted(self.distorted[rng.choice(own)], rng))
            support += [(sample, label) for sample in samples[:shots]]
            query += [(sample, label) for sample in samples[shots:]]
        return _shard(support), _shard(query)


def _shifted(turned: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return one of the turned copies, moved by up to `SHIFT` pixels."""
    picture = turned[rng.integers(len(turned))].reshape(SIDE, SIDE)
    down, right = rng.integers(-SHIFT, SHIFT + 1, 2)
    moved: Float32Array = np.roll(picture, (down, right), axis=(0, 1)).ravel()
    return moved


def drawers(data: Path, seed: int) -> tuple[list[Person], list[Person]]:
    """Return 16 drawers that train and 4 held out, drawn by the seed; the 24 Greek characters.

    Nobody drew a character twice: a second drawing is the first, turned by up to 15 degrees and
    moved by up to `SHIFT` of 28 pixels.
    """
    from scipy.ndimage import rotate

    with np.load(data / "omniglot_small1" / "omniglot.npz") as kept:
        greek = kept["alphabet"] == kept["alphabet_names"].tolist().index("Greek")
        ink = np.unpackbits(kept["ink_bits"][greek], axis=2)[:, :, :105].astype(np.float32)
        character, drawer = kept["character"][greek].astype(np.int64), kept["drawer"][greek]
    padded = np.pad(ink, ((0, 0), (3, 4), (3, 4)))
    small = padded.reshape(len(ink), SIDE, 4, SIDE, 4).mean(axis=(2, 4))
    turned = np.stack(
        [rotate(small, turn, axes=(1, 2), reshape=False, order=1) for turn in TURNS], axis=1
    )
    flat, copies = small.reshape(len(ink), -1), turned.reshape(len(ink), len(TURNS), -1)
    order = np.random.default_rng([seed, 21]).permutation(np.unique(drawer))
    made = [
        Person(flat[drawer == name], character[drawer == name], copies[drawer == name])
        for name in order
    ]
    return made[4:], made[:4]


def subjects(data: Path, seed: int) -> tuple[list[Person], list[Person]]:
    """Return 21 subjects that train and 9 held out, drawn by the seed; 6 activities."""
    with np.load(data / "hapt_har" / "hapt.npz") as kept:
        signal = np.concatenate(
            [kept["acc"] * kept["acc_scale"], kept["gyro"] * kept["gyro_scale"]], axis=1
        ).astype(np.float32)
        label, experiment, subject = kept["label"], kept["experiment"], kept["subject"]
    starts = np.arange(0, len(signal) - WINDOW + 1, HOP)
    ends = starts + WINDOW - 1
    # Ids rise along the file, so equal ends mean one experiment; labels need every sample.
    same = (experiment[starts] == experiment[ends]) & (label[starts] >= 1) & (label[starts] <= 6)
    starts = starts[same]
    starts = np.array([at for at in starts if (label[at : at + WINDOW] == label[at]).all()])
    windows = signal[starts[:, None] + np.arange(WINDOW)]
    x, y, who = _window_features(windows), label[starts].astype(np.int64), subject[starts]
    return _by_person(x, y, who, held=9, seed=seed)


def speakers(data: Path, seed: int) -> tuple[list[Person], list[Person]]:
    """Return 4 speakers that train and 2 held out, drawn by the seed; 10 digits."""
    with np.load(data / "fsdd" / "fsdd.npz") as kept:
        audio, offset = kept["audio"], kept["offset"]
        digit, speaker = kept["digit"].astype(np.int64), kept["speaker"]
    bank = _mel_bank(129, MELS)
    clips = [audio[a:b] for a, b in itertools.pairwise(offset)]
    x = np.stack([_spoken_features(clip, bank) for clip in clips])
    return _by_person(x, digit, speaker, held=2, seed=seed)


def _by_person(
    x: Float32Array, y: Labels, who: Labels, *, held: int, seed: int
) -> tuple[list[Person], list[Person]]:
    """Split by person; features are scaled by what those that train have."""
    order = np.random.default_rng([seed, 21]).permutation(np.unique(who))
    members = np.isin(who, order[held:])
    mean, spread = x[members].mean(axis=0), x[members].std(axis=0) + 1e-6
    scaled = np.clip((x - mean) / spread, -5, 5).astype(np.float32)
    made = {name: Person(scaled[who == name], y[who == name]) for name in order}
    return [made[name] for name in order[held:]], [made[name] for name in order[:held]]


def _window_features(windows: Float32Array) -> Float32Array:
    """Return mean, spread, range, jerk and band energies of each channel, `[N, HAR_FEATURES]`."""
    spectrum = np.abs(np.fft.rfft(windows - windows.mean(axis=1, keepdims=True), axis=1))[:, 1:65]
    bands = spectrum.reshape(len(windows), BANDS, -1, windows.shape[2]).mean(axis=2)
    parts = [
        windows.mean(axis=1),
        windows.std(axis=1),
        windows.min(axis=1),
        windows.max(axis=1),
        np.abs(np.diff(windows, axis=1)).mean(axis=1),
        np.log(bands + 1e-3).reshape(len(windows), -1),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _spoken_features(clip: npt.NDArray[np.int16], bank: Float32Array) -> Float32Array:
    """Return the log-mel spectrogram of a clip at 8 kHz, stretched to `TIMES` columns."""
    wave = np.pad(clip.astype(np.float32) / 32768, (0, max(0, 256 - len(clip))))
    starts = np.arange(0, len(wave) - 255, 128)
    frames = wave[starts[:, None] + np.arange(256)] * np.hanning(256)
    power = np.log(np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ bank + 1e-6)
    cuts = np.linspace(0, len(power), TIMES + 1)
    columns = [
        power[int(low) : max(int(low) + 1, int(np.ceil(high)))].mean(axis=0)
        for low, high in itertools.pairwise(cuts)
    ]
    return np.concatenate(columns).astype(np.float32)


def _mel_bank(bins: int, mels: int) -> Float32Array:
    """Return triangles on the mel scale of HTK, `[bins, mels]`, 0 to 4 kHz."""
    top = 2595 * np.log10(1 + 4000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1) / 4000 * (bins - 1)
    at = np.arange(bins)[:, None]
    rising = (at - edges[:-2]) / np.maximum(edges[1:-1] - edges[:-2], 1e-6)
    falling = (edges[2:] - at) / np.maximum(edges[2:] - edges[1:-1], 1e-6)
    triangles: Float32Array = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return triangles


def _shard(samples: list[tuple[Float32Array, int]]) -> Shard:
    if not samples:
        return Shard(np.zeros((0, 1), np.float32), np.zeros(0, np.int64))
    return Shard(np.stack([x for x, _ in samples]), np.array([y for _, y in samples], np.int64))
