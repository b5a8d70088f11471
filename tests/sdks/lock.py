"""Holds the lock of every SQLite store below a folder, for some seconds: `lock.py FOLDER SECONDS`. Says so once it has them."""

import sqlite3
import sys
import time
from pathlib import Path

folder, seconds = sys.argv[1:]
stores = [path for path in Path(folder).rglob("*") if path.is_file() and path.open("rb").read(15) == b"SQLite format 3"]
connections = [sqlite3.connect(path, timeout=30, isolation_level=None) for path in stores]
for connection in connections:
    connection.execute("BEGIN EXCLUSIVE")
print(len(connections), flush=True)
time.sleep(float(seconds))
