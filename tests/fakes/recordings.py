"""Recordings and forms made by hand, byte by byte, from what the standards say."""

from __future__ import annotations

import struct
from collections.abc import Sequence

BOUNDARY = "b0undary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def wav(seconds: float, *, rate: int = 8000, told: int | None = None) -> bytes:
    """Return silence of 16 bits; `told` is the size its header claims."""
    data = bytes(2 * round(rate * seconds))
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    size = len(data) if told is None else told
    riff = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def flac(samples: int, rate: int = 44_100, padding: int = 4096) -> bytes:
    """Return STREAMINFO, and bytes where the frames would be."""
    packed = rate << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\x80\x00\x00\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16 + padding)


def ogg_page(position: int, content: bytes) -> bytes:
    """Return a page of one segment."""
    return b"OggS\0\0" + struct.pack("<Q", position) + bytes(12) + b"\x01" + bytes([len(content)]) + content


def opus(seconds: int) -> bytes:
    """Return an Opus stream of two pages."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48_000, 0, 0)
    return ogg_page(0, head) + ogg_page(seconds * 48_000 + 312, bytes(200))


def vorbis(seconds: int) -> bytes:
    """Return a Vorbis stream of two pages."""
    head = b"\x01vorbis" + struct.pack("<IBI", 0, 2, 44_100) + bytes(14)
    return ogg_page(0, head) + ogg_page(seconds * 44_100, bytes(200))


def mp3(frames: int, *, told: int | None = None, tag: bool = False) -> bytes:
    """Return frames of MPEG 1 layer III, 128 kbit/s at 44.1 kHz; `told` is what an Info header claims."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    first = frame
    if told is not None:
        first = frame[:36] + b"Info" + struct.pack(">II", 1, told) + frame[48:]
    return (b"ID3\x04\0\0\0\0\x01\0" + bytes(128) if tag else b"") + first + frame * (frames - 1)


def box(name: bytes, content: bytes) -> bytes:
    """Return an MP4 box."""
    return struct.pack(">I", 8 + len(content)) + name + content


def mp4(seconds: int, *, last: bool = False) -> bytes:
    """Return a file whose `moov` is before the sound, or `last`."""
    mvhd = box(b"mvhd", bytes(12) + struct.pack(">II", 600, 600 * seconds) + bytes(80))
    mdhd = box(b"mdhd", bytes(12) + struct.pack(">II", 16_000, 16_000 * seconds) + bytes(4))
    moov = box(b"moov", mvhd + box(b"trak", box(b"mdia", mdhd)))
    parts = [box(b"ftyp", b"M4A \0\0\0\0"), moov, box(b"mdat", bytes(5000))]
    return b"".join([parts[0], parts[2], parts[1]] if last else parts)


def element(name: bytes, content: bytes) -> bytes:
    """Return a Matroska element, its size in eight bytes."""
    return name + b"\x01" + len(content).to_bytes(7, "big") + content


def webm(seconds: int, *, told: bool) -> bytes:
    """Return a file that tells its duration, or one that a browser recorded."""
    duration = element(b"\x44\x89", struct.pack(">d", seconds * 1000.0)) if told else b""
    info = element(b"\x15\x49\xa9\x66", element(b"\x2a\xd7\xb1", b"\x0f\x42\x40") + duration)
    clusters = b"".join(
        b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff"
        + element(b"\xe7", (at * 1000).to_bytes(4, "big"))
        + element(b"\xa3", b"\x81" + struct.pack(">h", 1000) + b"\x80" + bytes(100))
        for at in range(seconds)
    )
    segment = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + info + clusters
    return element(b"\x1a\x45\xdf\xa3", b"") + segment


def form(
    fields: Sequence[tuple[str, str]], sound: bytes, *, name: str = "a.wav", first: bool = False
) -> bytes:
    """Return a form; the file is `first`, or last."""
    texts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    file = head.encode() + b"Content-Type: audio/wav\r\n\r\n" + sound + b"\r\n"
    parts = [file, *texts] if first else [*texts, file]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
