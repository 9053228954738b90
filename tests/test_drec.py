"""The recording format: what dora itself writes is read, what is written is read back, and damage is survived."""

import base64
import errno
import io
import random
import struct
import tracemalloc
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from operators.frame import frame_metadata
from operators.messages import ChunkDone
from operators.schema import pack, unpack
from recordings.drec.file import END, Damage, Reader, Record, Writer, decode, encode, nearest, pack_frame

# One message of each of three kinds, as `dora record --proxy` of dora 1.1.0 wrote them (zlib, base 85).
FROM_DORA = """
c-nLE4{{80b!K2<_--v{^33j)1mhw`lXd$m|4rLp{N-A5>A&j?3=Ao$Nu}vl3e~B3iAg!B@nCLzW?peYYH~?tex8*=Nl|HPEmvNC
N@}qcmx6+>LS~AULL!i*piq!ll3}Hwrw`%fmzETimK0klL>Hwd>nIdtR_G|?<>#fw!gVE~=z{Pv^T3+GYy}0NPM}+g^Gl18Q-QYV
gH0+dO)X80FV3t23K<&ILX`r|2dMy3Pyvu#AQ2GF^_zu(fsrARnE`0RTFEV9K%X)^2Z}KWpa%kDA~R48(}GElmbSc_)|h=%{bMHY
=APd-Lq5-)daRF|gDbu~vj}28;{-v*BnC#tG>}O^@WY-llaZ4tCykW}B5=VTLbEt9<zzB5Gcn&_Vah3HV`5BXN=jxdW@64bypr(*
$A2KOU<5h_teA^|2Z%WtSb!u{jFE+b0|<czK}nErAao8;uMCjp0qbStJpm*^w)X%rNbLil`~*}rJP}a+GGH@Uz~%@rhygJl13#F@
0k&5Hss^Z<SprP60cF^LkO687#0{AxsksbLGb_MmiC{HL0b&-D3|N#0D9a6YqXQ(AK-w9Yfw(xe5UevLu_Td!2!I@ZJPcAmyTrjE
#RIkT03(WWW>CmV0A)F#VH^VuXJln8XnY1D_)J*b#*Rh30~)^pN^?Nz1L)>6qRKlkqUnb+1Q^Hz{~0I)l<H>~1okrxxc@)cqa_dG
?FRyIanpKyC%Di$+nu^QLi$C?%7A*?SL<I?H!?wsKVb3Llb;OE%ehQAia($lrU^Hvzr<SnF`*QH9IWM;DJ2<<B8(j@AV*X%kY0$1
5H5U}5QPs5xbWdX%A~MD0%ZRV20VoT1O7rl2dXy(EyJb|NG!Z)v6ez^B0>h_7{JKH%)-jX&cVsW&BM#bFCZu+EFvl<E+Hu;Eh8%@
ub`-;tfH!>uA!-=t)r`_Z(wL-Y+`C=ZeeL<ZDVU^@8Ia<?BeR??&0a>?c?j`9}pN691<E99uXN89TOWDpOBc8OiUtdSl;v%Ya*;>
1Sdik22hQ>#HS7%scDSZQy~jT5z~RkyT4&ghKwl5kcF{>iL&H}y}p9hmy81N<OZoLvDHoJ_VWRCb3^SHK}vEwU>hLf3OMQ+a+41@
`0rl+fi?I6D^g_#
"""

STAMP = datetime(2026, 11, 22, 3, 2, 40, 268440, UTC)


def dora_bytes() -> bytes:
    return zlib.decompress(base64.b85decode(FROM_DORA.replace("\n", "")))


def small(path: Path, count: int = 8) -> bytes:
    """A recording of `count` messages, every third a small frame, as bytes."""
    writer = Writer(path, "nodes: []")
    for number in range(count):
        array, about = pack(ChunkDone(number, 0, 17 * number, number, 3)), {"timestamp": STAMP}
        topic = "executor", "chunk_done"
        if number % 3 == 0:
            pixels = np.arange(4 * 3 * 3, dtype=np.uint8)
            array, about = pack_frame(pa.array(pixels), frame_metadata(4, 3, number, 0, 17 * number))
            topic = "camera_front", "frame_front"
        writer.write(*topic, number * 1000, encode(*topic, array, about))
    writer.close()
    return path.read_bytes()


def read(data: bytes) -> tuple[list, list[str], bool]:
    reader = Reader(io.BytesIO(data), "x.drec")
    messages = [(record, message) for record in reader if (message := reader.message(record))]
    return messages, reader.damage, reader.complete


def numbers(messages: list) -> list[int]:
    """Which messages of `small` these are."""
    return [record.offset_ns // 1000 for record, _ in messages]


def test_what_dora_writes_is_read():
    reader = Reader(io.BytesIO(dora_bytes()))
    assert reader.header.descriptor.startswith("debug:") and len(reader.header.dataflow) == 16
    records = list(reader)
    assert [record.topic for record in records] == ["a/rec", "a/pix", "a/none"] and reader.damage == []
    first, pixels, nothing = (decode(record) for record in records)
    assert first.array.to_pylist() == [{"seq": 0, "x": [1.0, 2.0]}]
    about = {"b": True, "i": -5, "s": "hé", "li": [1, -2, 300], "f": 1.5, "lf": [0.25, 2.5], "ls": ["a", "bc"]}
    assert first.metadata == about
    assert first.time >> 32 == int(STAMP.timestamp())
    assert pixels.array.to_pylist() == list(range(100)) and pixels.metadata == {"width": 10}
    assert len(nothing.array) == 0


def test_what_is_written_differs_from_dora_in_padding_alone():
    for record in Reader(io.BytesIO(dora_bytes())):
        message = decode(record)
        ours = encode(record.node, record.output, message.array, message.metadata, record.event[2:18])
        begun = 18 + 1 + len(record.node) + 1 + len(record.output) + 1  # up to the version of the metadata
        assert ours[:begun] == record.event[:begun]
        again = decode(record._replace(event=ours))
        assert again.array.equals(message.array) and again.metadata == message.metadata


def test_messages_frames_and_stamps_come_back(tmp_path):
    messages, damage, complete = read(small(tmp_path / "x.drec"))
    assert complete and damage == [] and numbers(messages) == list(range(8))
    for number, (record, message) in enumerate(messages):
        if record.node == "executor":
            assert unpack(ChunkDone, message.array) == ChunkDone(number, 0, 17 * number, number, 3)
        else:
            assert message.array.to_pylist() == list(range(36))
            assert message.metadata == frame_metadata(4, 3, number, 0, 17 * number)


def test_metadata_of_every_kind_comes_back():
    about = {"t": STAMP, "n": -(1 << 63), "empty": [], "mixed": [1, 2.5], "other": None, "no": False, "ü": "ß"}
    event = encode("a", "b", pa.array([1]), about)
    expected = {**about, "mixed": [1.0, 2.5], "other": "None"}
    assert decode(Record("a", "b", 0, event, 0)).metadata == expected


def test_a_killed_recorder_leaves_whole_messages(tmp_path):
    data = small(tmp_path / "x.drec")
    without_footer, damage, complete = read(data[:-24])
    assert len(without_footer) == 8 and damage == [] and not complete
    torn, damage, _ = read(data[:-30])
    assert numbers(torn) == list(range(7))
    assert len(damage) == 1 and "x.drec, offset" in damage[0] and "the file ends within a record" in damage[0]


def test_every_message_is_in_the_file_before_the_next(tmp_path):
    writer = Writer(tmp_path / "x.drec", "")
    for number in range(3):
        writer.write("a", "b", number, encode("a", "b", pa.array([number]), {}))
        assert len(read((tmp_path / "x.drec").read_bytes())[0]) == number + 1
    writer.close()


def test_messages_behind_a_damaged_one_are_kept(tmp_path):
    data = bytearray(small(tmp_path / "x.drec"))
    third = [record.position for record in Reader(io.BytesIO(bytes(data)))][2]
    data[third : third + 2] = b"\xff\xff"  # its length
    messages, damage, complete = read(bytes(data))
    assert numbers(messages) == [0, 1, 3, 4, 5, 6, 7] and not complete
    assert f"offset {third}" in damage[0] and "footer counts 8 messages, 7 could be read" in damage[-1]


def test_a_stamp_out_of_order_does_not_stop_the_clock(tmp_path):
    writer = Writer(tmp_path / "x.drec", "")
    for offset in (5, 1 << 60, 3, 9):
        writer.write("a", "b", offset, encode("a", "b", pa.array([1]), {}))
    writer.close()
    with Reader(tmp_path / "x.drec") as reader:
        assert [record.offset_ns for record in reader] == [5, 5, 5, 9] and len(reader.damage) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "offset 0: expected a recording, got an empty file"),
        (b"PK\3\4 something else entirely", "offset 0: expected a recording (DORAREC), got b'PK"),
        (b"DORAREC\0\1\0" + bytes(40), "offset 8: expected version 2 of the format, got 1"),
        (b"DORAREC\0\2\0abc", "offset 13: expected a header of 38 bytes, the file ends"),
        (b"DORAREC\0\2\0" + bytes(24) + b"\xff\xff\xff\xff", "offset 34: expected a descriptor of 4294967295"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(data, said):
    with pytest.raises(Damage) as refused:
        Reader(io.BytesIO(data), "x.drec")
    assert str(refused.value).startswith(f"x.drec, {said}") and "\n" not in str(refused.value)


def test_a_full_disk_leaves_a_readable_file(tmp_path, monkeypatch):
    path = tmp_path / "x.drec"
    writer = Writer(path, "")
    event = encode("a", "b", pa.array([1]), {})
    writer.write("a", "b", 0, event)

    class Full:
        """Takes ten bytes more."""

        def __init__(self, file):
            self.file, self.tell, self.truncate, self.left = file, file.tell, file.truncate, 10

        def write(self, data):
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, self.left = data[: self.left], 0
            return self.file.write(taken)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(writer, "_file", Full(writer._file))
    with pytest.raises(OSError, match="No space left"):
        writer.write("a", "b", 1, event)
    messages, damage, _ = read(path.read_bytes())
    assert len(messages) == 1 and damage == []


def test_compressed_arrow_buffers_are_refused():
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays([pa.array(np.zeros(9999, np.uint8))], ["data"])
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_batch(batch)
    plain = encode("a", "b", pa.array([], pa.uint8()), {})
    stored = sink.getvalue().to_pybytes()
    begin = plain.index(b"\xff\xff\xff\xff")
    event = plain[: begin - 2] + bytes([len(stored) & 0x7F | 0x80, len(stored) >> 7]) + stored + plain[-25:]
    with pytest.raises(Damage, match="compressed Arrow buffers"):
        decode(Record("a", "b", 0, event, 0))


def test_a_frame_that_would_unpack_to_gigabytes_is_refused():
    array, about = pack_frame(pa.array(np.zeros(12, np.uint8)), frame_metadata(2, 2, 0, 0, 0))
    event = encode("a", "b", array, {**about, "width": 1 << 20, "height": 1 << 20})
    with pytest.raises(Damage, match="at most"):
        decode(Record("a", "b", 0, event, 0))


def test_the_largest_message_is_that_of_dora(tmp_path):
    writer = Writer(tmp_path / "x.drec", "")
    with pytest.raises(ValueError, match="a/b: expected at most 67108864 bytes"):
        writer.write("a", "b", 0, bytes(64 << 20))
    writer.close()
    assert read((tmp_path / "x.drec").read_bytes()) == ([], [], True)


def test_nearest_names_what_was_meant():
    assert nearest("robt/proprio", ["robot/proprio", "robot/score"]) == (
        "robot/proprio, robot/score; nearest is robot/proprio"
    )
    assert nearest("x", []) == "nothing"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One of: bits flipped, cut off, bytes overwritten with a length, a piece left out, doubled, or foreign."""
    raw, kind, at = bytearray(data), chance.randrange(6), chance.randrange(len(data))
    if kind == 0:
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del raw[at:]
    elif kind == 2:
        raw[at : at + 4] = struct.pack("<I", chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 64 << 20, 1 << 24]))
    elif kind == 3:
        del raw[at : at + chance.randrange(1, 200)]
    elif kind == 4:
        raw[at:at] = raw[at : at + chance.randrange(1, 200)]
    else:
        raw[at : at + 40] = chance.randbytes(40)
    return bytes(raw)


def survive(data: bytes, chance: random.Random, times: int) -> int:
    """Read so many damaged copies; how many messages were kept in all."""
    kept = 0
    for _ in range(times):
        try:
            messages, damage, _ = read(damaged(data, chance))
        except Damage as error:
            messages, damage = [], [str(error)]
        assert len(messages) <= 10, "more than there were, and doubled"
        assert all("x.drec, offset" in line and "\n" not in line for line in damage)
        kept += len(messages)
    return kept


def test_ten_thousand_damaged_files_are_read_or_refused(tmp_path):
    kept = survive(small(tmp_path / "x.drec", 4), random.Random(4), 10_000)
    assert kept > 10_000 * 2.4  # of 4 messages
    assert (pa.default_memory_pool().max_memory() or 0) < 64 << 20


def test_damage_takes_no_memory(tmp_path):
    tracemalloc.start()
    survive(small(tmp_path / "x.drec", 4), random.Random(5), 200)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20


def test_the_footer_is_found_behind_damage(tmp_path):
    data = small(tmp_path / "x.drec", 2)
    last = data.rindex(END)
    messages, damage, _ = read(data[:last] + b"\xff" * 50 + data[last:])
    assert len(messages) == 2 and len(damage) == 1
