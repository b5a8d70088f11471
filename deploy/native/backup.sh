#!/bin/sh
# Copies the database of a running server, whole and of one moment, and keeps the copies of the last days:
#
#   backup.sh DATA FOLDER [DAYS]
#
# DATA is the folder of --data. The copy has the time in its name. Where it has to go to S3, add after this:
#   aws s3 sync FOLDER s3://bucket/isotherm/
# docs/native.md says how to restore one.
set -eu
data=$1 folder=$2 days=${3:-14}
umask 077
mkdir -p "$folder"
copy=$folder/events-$(date -u +%Y%m%dT%H%M%SZ).sqlite
trap 'rm -f "$copy.new" "$copy.gz.new"' EXIT
rm -f "$copy.new"
# VACUUM INTO reads one moment of the database. `.backup` begins again at each write, and under load never ends.
sqlite3 -bail "file:$data/events.sqlite?mode=rw" "PRAGMA busy_timeout = 10000" "VACUUM INTO '$copy.new'" >/dev/null
[ "$(sqlite3 "$copy.new" 'PRAGMA quick_check')" = ok ]
gzip --stdout "$copy.new" >"$copy.gz.new"
mv "$copy.gz.new" "$copy.gz"
find "$folder" -name 'events-*.sqlite.gz' -mtime +"$days" -delete
echo "$copy.gz"
