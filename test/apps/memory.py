#!/usr/bin/env python3
"""Searches the readable memory of processes for private values: memory.py HEX[,HEX...] PID...

Each value is looked for as bytes, reversed (which is how BIGNUM's little-endian words hold it) and as hex text. Exit status 0: in none."""
import re, sys

needles = set()
for text in sys.argv[1].split(","):
    value = bytes.fromhex(text)
    needles |= {value, value[::-1], text.lower().encode(), text.upper().encode()}
seen = found = 0
for pid in sys.argv[2:]:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r\S+)", line)
            if not m or "[v" in line:
                continue
            start, end = int(m[1], 16), int(m[2], 16)
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            seen += len(data)
            found += sum(n in data for n in needles)
print("searched", seen, "found", found)
sys.exit(0 if found == 0 and seen > 1 << 20 else 1)
