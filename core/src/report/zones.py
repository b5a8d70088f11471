"""Makes zones.bin, the time zones of reports, from the package `tzdata` of PyPI.

    python3 -m venv target/zones && target/zones/bin/pip install tzdata==2026.6
    target/zones/bin/python core/src/report/zones.py            # writes zones.bin
    target/zones/bin/python core/src/report/zones.py --check    # is zones.bin what it would write?

Needs nothing else than Python 3.9 and its standard library. For a newer tzdata, change TZDATA and the line above, run it,
and run core's tests. The format is described in zone.rs.
"""

import collections
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
# A rule must explain this many offsets in a row to be worth its bytes; what rules leave is listed one by one.
WORTH = 6
LONGEST = (1 << 24) - 1  # minutes: what three bytes hold


def day_number(year, month, day):
    return (datetime.date(year, month, day) - EPOCH).days


# A month before 2000, because a report of 2000-01-01T00Z has buckets that begin up to a month before, in local time.
BEGIN = day_number(1999, 11, 30) * DAY
FIRST = day_number(2000, 1, 1) * DAY
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
    """What a zone does from BEGIN on: [(from when, offset)], without repetitions."""
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
    return tuple(out)


def switches(t, offset):
    """All switches that happen at `t`, when the local clock is `offset` from UTC before it."""
    for shift in (0, -1, 1):  # "Saturday 24:00" is a rule where "the Sunday after the second Saturday" is none
        day = (t + offset) // DAY + shift
        date, weekday = EPOCH + datetime.timedelta(day), (day + 4) % 7
        week = (date.day + 6) // 7
        if week < 5:
            yield (date.month, week, weekday, t + offset - day * DAY)
        if (date + datetime.timedelta(7)).month != date.month:
            yield (date.month, 5, weekday, t + offset - day * DAY)


def rules_from(zone, i):
    """The rules that explain `zone` from its i-th offset on, each with the first offset that it does not explain."""
    seen = set()
    for k in (i + 1, i + 2):
        if k + 1 >= len(zone) or zone[k - 1][1] != zone[k + 1][1]:
            continue
        for first in switches(zone[k][0], zone[k - 1][1]):
            for second in switches(zone[k + 1][0], zone[k][1]):
                seen.add(rule_of(first, zone[k][1], second, zone[k + 1][1]))
    for rule in sorted(seen):
        every = transitions_of(rule)
        if every != sorted(every):
            continue  # across the turn of the year
        at = next((n for n, pair in enumerate(every) if pair[0] >= zone[i + 1][0]), 0)
        if at == 0 or every[at - 1][1] != zone[i][1]:
            continue
        end = i + 1
        while end < len(zone) and at < len(every) and every[at] == zone[end]:
            at, end = at + 1, end + 1
        yield rule, end


def eras(zone):
    """A zone as [(offset or rule, until when)], the last until None."""
    out, i = [], 0
    while i < len(zone):
        rule, end = min(rules_from(zone, i), key=lambda found: -found[1], default=(None, i))
        if end - i < WORTH:
            rule, end = zone[i][1], i + 1
        until = zone[end][0] if end < len(zone) else None
        while until and until - (out[-1][1] if out else BEGIN) > LONGEST * 60:
            out.append((rule, (out[-1][1] if out else BEGIN) + LONGEST * 60))
        out.append((rule, until))
        i = end
    return out


def split(what):
    """An offset or a rule as (offset after the second switch, pattern): zones share patterns across offsets."""
    if isinstance(what, int):
        return what, None
    first, offset_first, second, offset_second = what
    return offset_second, (first, second, offset_first - offset_second)


def quarters(seconds):
    return struct.pack("b", seconds // 900)


def encode(zones):
    """The data before it is deflated; zone.rs describes it."""
    names, references, numbers, before = b"", b"", {}, ""
    for name, zone in sorted(zones.items()):
        shared = next((n for n, (a, b) in enumerate(zip(name, before)) if a != b), min(len(name), len(before)))
        assert shared < 31 and name.isascii()
        names += (bytes([shared]) if before else b"") + name[shared:].encode()
        references += bytes([numbers[zone] + 1 if zone in numbers else 0])
        numbers.setdefault(zone, len(numbers))
        before = name

    eras_of = [eras(zone) for zone in numbers]
    halves = [split(what) for zone in eras_of for what, _ in zone]
    patterns = [None] + sorted({pattern for _, pattern in halves if pattern})
    out = names + b"\x1f" + references + bytes([len(patterns) - 1])
    for *both, difference in patterns[1:]:
        for month, week, weekday, seconds in both:
            assert seconds % 60 == 0
            out += struct.pack("<Hh", month | week << 4 | weekday << 7, seconds // 60)
        out += quarters(difference)
    out += bytes(len(zone) for zone in eras_of)
    out += b"".join(quarters(offset) for offset, _ in halves)
    out += bytes(patterns.index(pattern) for _, pattern in halves)
    for zone in eras_of:
        begin = BEGIN
        for _, until in zone[:-1]:
            out += ((until - begin) // 60).to_bytes(3, "big")
            begin = until
    return out


def checksum(names):
    """CRC-32 of what Python's own zoneinfo says of all zones from 2000 through 2099: what zone.rs is tested against."""
    lines = {}

    def line(file):
        with file.open("rb") as opened:
            zone = zoneinfo.ZoneInfo.from_file(opened)

        def offset_at(t):
            return int(datetime.datetime.fromtimestamp(t, zone).utcoffset().total_seconds())

        text, offset = str(offset_at(FIRST)), offset_at(FIRST)
        for day in range(FIRST, LAST, DAY):
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
    data = encode({name: read(name) for name in names})
    header = f"tzdata {TZDATA} crc32 {checksum(names):08x}\n".encode()
    if "--check" in sys.argv:
        # Inflated, because another zlib may deflate to other bytes.
        found, _, deflated = BLOB.read_bytes().partition(b"\n")
        if found + b"\n" != header or zlib.decompress(deflated, -15) != data:
            sys.exit("zones.bin is not what zones.py makes")
        return
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    BLOB.write_bytes(header + deflate.compress(data) + deflate.flush())
    print(f"{BLOB}: {BLOB.stat().st_size} bytes, {len(data)} inflated, {len(names)} names")


if __name__ == "__main__":
    main()
