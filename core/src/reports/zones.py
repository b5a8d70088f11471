"""Makes zones.bin, the time zones of reports, from the package `tzdata` of PyPI.

    python3 -m venv target/zones && target/zones/bin/pip install tzdata==2026.6
    target/zones/bin/python core/src/reports/zones.py            # writes zones.bin
    target/zones/bin/python core/src/reports/zones.py --check    # is zones.bin what it would write?

Needs nothing else than Python 3.9 and its standard library. For a newer tzdata, change TZDATA and the line above, run it,
and run core's tests. The format is described in zone.rs.
"""

import bisect
import datetime
import pathlib
import re
import struct
import sys
import zlib
import zoneinfo

import tzdata

TZDATA = "2026.6"
FILES = pathlib.Path(tzdata.__file__).parent
BLOB = pathlib.Path(__file__).with_name("zones.bin")
DAY = 86400
EPOCH = datetime.date(1970, 1, 1)
LONGEST = (1 << 24) - 1  # minutes: what three bytes hold


def day_number(year, month, day):
    return (datetime.date(year, month, day) - EPOCH).days


# A month before 2000, because a report of 2000-01-01T00Z has buckets that begin up to a month before, in local time.
BEGIN = day_number(1999, 11, 30) * DAY
LAST = day_number(2100, 1, 1) * DAY
YEARS = range(1998, 2101)

# A switch is (month, week, weekday from Sunday, seconds of the local day); a rule is what happens every year:
# (switch, offset from then on, switch, offset from then on), in the order of the year.


def switch_at(year, switch, offset_before):
    month, week, weekday, seconds = switch
    first = day_number(year, month, 1)
    day = first + (weekday - first - 4) % 7 + 7 * (week - 1)
    if day >= day_number(year + month // 12, month % 12 + 1, 1):
        day -= 7  # week 5 is the last one
    return day * DAY + seconds - offset_before


def transitions_of(rule, memo={}):
    if rule not in memo:
        a, offset_a, b, offset_b = rule
        both = ((switch_at(y, a, offset_b), offset_a, switch_at(y, b, offset_a), offset_b) for y in YEARS)
        memo[rule] = [pair for each in both for pair in (each[:2], each[2:])]
        assert memo[rule] == sorted(memo[rule]), "a switch at the turn of the year"
    return memo[rule]


def rule_of(first, offset_first, second, offset_second):
    if first[:2] > second[:2]:
        return (second, offset_second, first, offset_first)
    return (first, offset_first, second, offset_second)


def tail(text):
    """The POSIX TZ text at the end of a TZif file: (standard offset, rule or None)."""
    name, signed = r"(?:<[^>]+>|[A-Za-z]+)", r"([-+]?[\d:]+)"
    standard, daylight, start, end = re.fullmatch(f"{name}{signed}(?:{name}{signed}?,(.*),(.*))?", text).groups()

    def seconds(clock):
        parts = [int(part) for part in clock.lstrip("+-").split(":")]
        return (-1 if clock[0] == "-" else 1) * sum(part * 60 ** (2 - at) for at, part in enumerate(parts))

    def switch(date):
        day, _, clock = date.partition("/")
        return (*map(int, day.removeprefix("M").split(".")), seconds(clock or "2"))

    standard = -seconds(standard)
    if start is None:
        return standard, None
    daylight = -seconds(daylight) if daylight else standard + 3600
    return standard, rule_of(switch(start), daylight, switch(end), standard)


def read(name):
    """What a zone does from BEGIN on: ((from when, offset), …) without repetitions, and the rule at its end, if any."""
    file = (FILES / "zoneinfo" / name).read_bytes()
    header = ">4sc15x6l"  # magic, version, then how many: UT flags, standard flags, leaps, times, types, characters

    def counts(at):
        magic, _, *numbers = struct.unpack_from(header, file, at)
        assert magic == b"TZif"
        return numbers

    ut, std, leap, time, kind, char = counts(0)
    at = 44 + time * 5 + kind * 6 + char + leap * 8 + std + ut  # the 32-bit part is for older readers
    ut, std, leap, time, kind, char = counts(at)
    at += 44
    times = struct.unpack_from(f">{time}q", file, at)
    kinds = file[at + 8 * time : at + 9 * time]
    at += 9 * time
    offsets = [struct.unpack_from(">l", file, at + 6 * k)[0] for k in range(kind)]
    text = file[at + kind * 6 + char + leap * 12 + std + ut :].decode().strip()

    found = [(-(1 << 62), offsets[0])] + [(t, offsets[k]) for t, k in zip(times, kinds)]
    standard, rule = tail(text)
    if rule:
        found += [pair for pair in transitions_of(rule) if pair[0] > found[-1][0]]
    assert found[-1][1] == standard or rule, name
    before = [offset for t, offset in found if t <= BEGIN][-1]
    out = [(BEGIN, before)]
    for t, offset in found:
        if t > BEGIN and offset != out[-1][1]:
            out.append((t, offset))
    assert all(offset % 900 == 0 and t % 60 == 0 for t, offset in out), name
    return tuple(out), rule


def listed(zone, rule):
    """How many of a zone's offsets must be listed, because its rule does not hold yet."""
    if not rule:
        return len(zone) - 1
    every, count = transitions_of(rule), len(zone) - 1
    while count > 0:
        offset_from, offset = zone[count - 1]
        at = bisect.bisect(every, (offset_from, 1 << 30))
        if every[at - 1][1] != offset or every[at] != zone[count]:
            break
        count -= 1
    return count


def stretches(zone, count):
    """The first offsets as [(offset, minutes that it lasts)]."""
    out = []
    for (begin, offset), (end, _) in zip(zone[:count], zone[1:]):
        minutes = (end - begin) // 60
        while minutes > LONGEST:
            out.append((offset, LONGEST))
            minutes -= LONGEST
        out.append((offset, minutes))
    return out


def quarters(seconds):
    return struct.pack("b", seconds // 900)


def encode(zones):
    """The parts of the data, before they are deflated; zone.rs describes them."""
    names, references, numbers, before = b"", b"", {}, ""
    for name, (zone, rule) in sorted(zones.items()):
        shared = next((n for n, (a, b) in enumerate(zip(name, before)) if a != b), min(len(name), len(before)))
        assert shared < 31 and name.isascii()
        names += (bytes([shared]) if before else b"") + name[shared:].encode()
        references += bytes([numbers[zone][0] + 1 if zone in numbers else 0])
        numbers.setdefault(zone, (len(numbers), rule))
        before = name

    patterns, counts, kinds, offsets, lengths = [], b"", b"", b"", b""
    for zone, (_, rule) in numbers.items():
        pattern, last = None, zone[-1][1]
        if rule:
            first, between, second, last = rule
            pattern = (first, second, between - last)  # zones of different offsets share it
            if pattern not in patterns:
                patterns.append(pattern)
        before = stretches(zone, listed(zone, rule))
        counts += bytes([len(before)])
        kinds += bytes([patterns.index(pattern) + 1 if pattern else 0])
        offsets += b"".join(quarters(offset) for offset, _ in before) + quarters(last)
        lengths += b"".join(minutes.to_bytes(3, "little") for _, minutes in before)

    rules = bytes([len(patterns)])
    for *both, difference in patterns:
        for month, week, weekday, seconds in both:
            assert seconds % 60 == 0
            rules += struct.pack("<Hh", month | week << 4 | weekday << 7, seconds // 60)
        rules += quarters(difference)
    return [names + b"\x1f", references + rules + counts + kinds, offsets, lengths]


def deflated(parts):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    # A block for each part, so that each has its own Huffman codes.
    return b"".join(deflate.compress(part) + deflate.flush(zlib.Z_BLOCK) for part in parts) + deflate.flush()


def checksum(names):
    """CRC-32 of what Python's own zoneinfo says of all zones until the end of 2099: what zone.rs is tested against."""
    lines = {}

    def line(file):
        with file.open("rb") as opened:
            zone = zoneinfo.ZoneInfo.from_file(opened)

        def offset_at(t):
            return int(datetime.datetime.fromtimestamp(t, zone).utcoffset().total_seconds())

        text, offset = str(offset_at(BEGIN)), offset_at(BEGIN)
        for day in range(BEGIN, LAST, DAY):
            while offset_at(day + DAY - 1) != offset:
                low, high = day - 1, day + DAY - 1  # still the old offset, not any more
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if offset_at(middle) == offset else (low, middle)
                offset = offset_at(high)
                text += f" {high} {offset}"
        return text

    crc = 0
    for name in names:
        file = FILES / "zoneinfo" / name
        content = file.read_bytes()
        if content not in lines:
            lines[content] = line(file)
        crc = zlib.crc32(f"{name} {lines[content]}\n".encode(), crc)
    return crc


def main():
    assert tzdata.__version__ == TZDATA, f"this is tzdata {tzdata.__version__}, not {TZDATA}"
    names = sorted((FILES / "zones").read_text().split())
    parts = encode({name: read(name) for name in names})
    header = f"tzdata {TZDATA} crc32 {checksum(names):08x}\n".encode()
    if "--check" in sys.argv:
        # Inflated, because another zlib may deflate to other bytes.
        head, end, rest = BLOB.read_bytes().partition(b"\n")
        if head + end != header or zlib.decompress(rest, -15) != b"".join(parts):
            sys.exit("zones.bin is not what zones.py makes")
        return
    BLOB.write_bytes(header + deflated(parts))
    print(f"{BLOB}: {BLOB.stat().st_size} bytes, {sum(map(len, parts))} inflated, {len(names)} names")


if __name__ == "__main__":
    main()
