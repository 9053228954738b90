"""After messages got other columns: brings recordings/golden/ to those of today by the migrations, without a new run.

    python -m tests.convert

What needs no migration is copied byte by byte, so values, order and stamps are those of the one real run.
"""

import pyarrow as pa

from recordings.drec.file import Reader, Writer, encode
from recordings.drec.messages import messages
from recordings.drec.migrations import migrated, state
from tests.golden import FOLDER, RECORDING, load, store


def recording() -> int:
    """Rewrite golden.drec; how many messages were migrated."""
    part, changed = RECORDING.with_suffix(".part"), 0
    with Reader(RECORDING) as reader:
        header = reader.header
        writer = Writer(part, header.descriptor, header.dataflow, header.start_unix_ns)
        for _, record, content in messages(reader):
            event = record.event
            if state(record.output, content.array) == "migrated":
                array = migrated(record.output, content.array)
                event = encode(record.node, record.output, array, content.metadata)
                changed += 1
            writer.write(record.node, record.output, record.offset_ns, event)
        writer.close()
    part.replace(RECORDING)
    return changed


def stored() -> int:
    """Rewrite the stored outputs; how many files were migrated."""
    changed = 0
    for path in sorted(FOLDER.glob("*.arrow")):
        name, topic = path.name.split(".")[:2]
        arrays = load(name, topic)
        if arrays and pa.types.is_struct(arrays[0].type) and state(topic, arrays[0]) == "migrated":
            store(name, {topic: [migrated(topic, array) for array in arrays]})
            changed += 1
    return changed


if __name__ == "__main__":
    print(f"{recording()} messages and {stored()} files migrated, {RECORDING.stat().st_size} bytes")
