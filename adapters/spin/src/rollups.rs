//! Rollups in spin:sqlite: folded behind a watermark, and read for reports.
//!
//! Instances fold at the same time, and none may leave a transaction open. So a fold writes with one statement, which
//! does nothing if another instance has moved the watermark meanwhile. A report reads with one statement, which sees
//! one moment.

use std::iter;

use isotherm_core::{
    KeyRange, Load, ReadBudget, RejectedRecord, ReportData, ReportPlan, Service, StoredPage, TooMuch, Unfolded,
    WriteLimits,
};
use spin_sdk::sqlite::{Error, RowResult, Value};

use crate::database::{Database, list};
use crate::watch;

/// How many ranges of keys one statement reads. SQLite's limit is 500 parts.
const RANGES: usize = 400;

pub(crate) const WATERMARK: &str = "coalesce((SELECT page FROM rollups WHERE tenant = '' AND key = ''), 0)";

/// True if the watermark is no integer. SQLite sorts other values after all integers, as if everything were folded. So
/// what reads the watermark must ask this too.
pub(crate) const IS_DAMAGED: &str =
    "EXISTS (SELECT 1 FROM rollups WHERE tenant = '' AND key = '' AND typeof(page) <> 'integer')";

/// The error for such a watermark.
pub(crate) fn damaged() -> Error {
    Error::Io("the watermark, the page of rollups with no tenant and no key, is no integer".to_owned())
}

const REJECT: &str = "INSERT OR REPLACE INTO rejected_events (seq, tenant, reason, record) VALUES (?1, ?2, ?3, ?4)";

/// Folds the next events, at most `events`, and moves the watermark. Returns how much was folded, or `None` if another
/// instance has moved the watermark meanwhile.
pub(crate) async fn fold(
    database: &Database<'_>,
    service: &Service,
    events: usize,
    most_bytes: usize,
) -> Result<Option<Load>, Error> {
    // When there is nothing to fold, the answer is one row with the watermark alone.
    let unfolded = format!(
        "SELECT {WATERMARK}, seq, tenant, record FROM (SELECT 1) LEFT JOIN (SELECT seq, tenant, record FROM events \
         WHERE seq > {WATERMARK} ORDER BY seq LIMIT {events}) ORDER BY seq"
    );
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let take = |row: RowResult| {
        bytes += row.get::<&str>(3).map_or(0, str::len);
        rows.push(row);
        bytes < most_bytes
    };
    database.query_while(&unfolded, &Vec::new, take).await?;
    let before = rows.first().and_then(|row| row.get::<i64>(0)).ok_or_else(damaged)?;
    let seq = |row: &RowResult| row.get::<i64>(1);
    if rows.first().and_then(seq).is_none() {
        return Ok(Some(Load::default()));
    }
    // A value that is not text is read as an empty one, which core rejects.
    let text = |row: &RowResult, column| row.get::<&str>(column).unwrap_or_default().to_owned();
    let texts: Vec<(String, String)> = rows.iter().map(|row| (text(row, 2), text(row, 3))).collect();
    let records: Vec<_> = texts.iter().map(|(tenant, record)| Unfolded { tenant, record }).collect();
    let mut at_most = records.len();
    let (taken, write) = loop {
        let step = service.fold(&records, at_most, WriteLimits::ONE_WRITER);
        let taken = step.records();
        let mut stored = Vec::new();
        for (tenant, ranges) in step.ranges() {
            stored.push(pages(database, tenant.as_str(), ranges).await?);
        }
        match step.merge(stored) {
            Ok(write) => break (taken, write),
            Err(TooMuch { at_most: fewer }) => at_most = fewer,
        }
    };
    let folded = write.folded(taken);
    for (tenant, page) in write.damaged {
        eprintln!("isotherm: reports of {} are incomplete: {page}", tenant.as_str());
    }
    // Written before the watermark moves: if a fold is repeated, it writes the same rows again.
    for RejectedRecord { index, reason } in &write.rejected {
        let (Some(seq), Some((tenant, record))) = (rows.get(*index).and_then(seq), texts.get(*index)) else { continue };
        eprintln!("isotherm: event {seq} of {tenant:?} is in no report, but in rejected_events: {reason}");
        let values = || vec![Value::Integer(seq), Value::text(tenant), Value::text(reason), Value::text(record)];
        database.query(REJECT, &values).await?;
    }
    let watermark = rows.get(taken - 1).and_then(seq).unwrap_or(before);
    let mut written = vec![Value::text(""), Value::text(""), Value::Integer(watermark)];
    for (tenant, page) in write.pages {
        written.extend(rows_of(tenant.as_str(), vec![page]));
    }
    if !self::write(database, written, before).await? {
        return Ok(None);
    }
    watch::folded(service, &folded);
    Ok(Some(texts.iter().take(taken).map(|(_, record)| Load::of(record)).sum()))
}

pub(crate) fn rows_of(tenant: &str, pages: Vec<StoredPage>) -> impl Iterator<Item = Value> {
    pages
        .into_iter()
        .flat_map(move |StoredPage { key, bytes }| [Value::text(tenant), Value::text(key), Value::blob(bytes)])
}

/// Writes rows of tenant, key and page, if the watermark has not moved. Returns whether it wrote.
pub(crate) async fn write(database: &Database<'_>, written: Vec<Value>, before: i64) -> Result<bool, Error> {
    let write = format!(
        "INSERT INTO rollups (tenant, key, page) SELECT * FROM (VALUES {}) WHERE {WATERMARK} = {before} \
         ON CONFLICT (tenant, key) DO UPDATE SET page = excluded.page RETURNING 1",
        list(written.len() / 3, "(?, ?, ?)")
    );
    database.query(&write, &|| written.clone()).await.map(|rows| !rows.is_empty())
}

/// Reads the data for a report, as of one moment.
pub(crate) async fn read(database: &Database<'_>, plan: &ReportPlan) -> Result<ReportData, Error> {
    Ok(read_within(database, plan).await?.unwrap_or_else(ReportData::too_large))
}

/// Returns `None` if the data exceed the budget.
async fn read_within(database: &Database<'_>, plan: &ReportPlan) -> Result<Option<ReportData>, Error> {
    let (tenant, reading) = (plan.tenant().as_str(), plan.reading());
    let mut manifests = match reading.manifests() {
        Some(range) => match read_while(database, tenant, &[range], false, reading.budget(1)).await? {
            Some((manifests, _)) => manifests,
            None => return Ok(None),
        },
        None => Vec::new(),
    };
    loop {
        // Days may have been sealed or opened since their manifests were read, so the manifests are read once more with
        // the pages.
        let ranges: Vec<KeyRange> = reading.ranges(&manifests).into_iter().chain(reading.manifests()).collect();
        let read = read_while(database, tenant, &ranges, true, reading.budget(1)).await?;
        let Some((pages, tail)) = read else { return Ok(None) };
        let is_manifest =
            |page: &StoredPage| reading.manifests().is_some_and(|manifests| manifests.contains(&page.key));
        let (read_again, pages) = pages.into_iter().partition(is_manifest);
        if read_again == manifests {
            return Ok(Some(ReportData { pages, tail, ..ReportData::default() }));
        }
        manifests = read_again;
    }
}

/// Reads the pages in these ranges.
pub(crate) async fn pages(
    database: &Database<'_>,
    tenant: &str,
    ranges: &[KeyRange],
) -> Result<Vec<StoredPage>, Error> {
    Ok(pages_while(database, tenant, ranges, |_| true).await?.unwrap_or_default())
}

/// Reads the pages in these ranges. Stops and returns `None` as soon as `takes` rejects a page.
pub(crate) async fn pages_while(
    database: &Database<'_>,
    tenant: &str,
    ranges: &[KeyRange],
    mut takes: impl FnMut(&StoredPage) -> bool,
) -> Result<Option<Vec<StoredPage>>, Error> {
    let mut pages = Vec::new();
    let is_whole = each_page(database, tenant, ranges, |page| {
        let is_taken = takes(&page);
        pages.push(page);
        is_taken
    });
    Ok(is_whole.await?.then_some(pages))
}

/// Gives the pages in these ranges to `take`, one by one. Stops and returns `false` as soon as it does.
pub(crate) async fn each_page(
    database: &Database<'_>,
    tenant: &str,
    ranges: &[KeyRange],
    mut take: impl FnMut(StoredPage) -> bool,
) -> Result<bool, Error> {
    for ranges in ranges.chunks(RANGES) {
        let (statement, parameters) = statement(tenant, ranges, false);
        if !database.query_while(&statement, &parameters, |row| page_of(&row).is_none_or(&mut take)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Like [`pages`], for a report. Stops reading and returns `None` once the pages exceed the budget.
async fn read_while(
    database: &Database<'_>,
    tenant: &str,
    ranges: &[KeyRange],
    with_tail: bool,
    mut budget: ReadBudget,
) -> Result<Option<(Vec<StoredPage>, Vec<String>)>, Error> {
    let (statement, parameters) = statement(tenant, ranges, with_tail);
    let (mut pages, mut tail, mut is_damaged) = (Vec::new(), Vec::new(), false);
    let take = |row: RowResult| {
        if let Some(page) = page_of(&row) {
            pages.push(page);
            return pages.last().is_some_and(|page| budget.takes_page(page));
        }
        if row.get::<i64>(1).is_some() {
            is_damaged = true;
            return false;
        }
        let record = row.get::<&str>(2).unwrap_or_default();
        tail.push(record.to_owned());
        budget.takes_record(record)
    };
    let is_whole = database.query_while(&statement, &parameters, take).await?;
    if is_damaged {
        return Err(damaged());
    }
    Ok(is_whole.then_some((pages, tail)))
}

/// A statement that selects the pages in these ranges, and the records behind the watermark if `with_tail`. A number
/// in place of a page says that the watermark is damaged.
fn statement(tenant: &str, ranges: &[KeyRange], with_tail: bool) -> (String, impl Fn() -> Vec<Value>) {
    // Not one condition with OR: SQLite would answer it by reading all keys of the tenant.
    let pages =
        iter::repeat_n("SELECT key, page, NULL FROM rollups WHERE tenant = ?1 AND key >= ? AND key < ?", ranges.len());
    // `+tenant` keeps SQLite from using the index on the tenant, by which it would read all of the tenant's events
    // and not only the few behind the watermark.
    let tail = format!(
        "SELECT NULL, 0, NULL WHERE {IS_DAMAGED} \
         UNION ALL SELECT NULL, NULL, record FROM events WHERE seq > {WATERMARK} AND +tenant = ?1"
    );
    let statement = pages.chain(with_tail.then_some(tail.as_str())).collect::<Vec<_>>().join(" UNION ALL ");
    let parameters = move || {
        let edges = ranges.iter().flat_map(|KeyRange { from, until }| [from, until]);
        iter::once(tenant).chain(edges.map(String::as_str)).map(Value::text).collect()
    };
    (statement, parameters)
}

pub(crate) fn page_of(row: &RowResult) -> Option<StoredPage> {
    // A value that is not a BLOB is read as an empty page, which core sets apart.
    let bytes = row.get::<&[u8]>(1).unwrap_or_default().to_vec();
    Some(StoredPage { key: row.get::<&str>(0)?.to_owned(), bytes })
}
