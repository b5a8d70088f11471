//! Does things two at a time, because most of them wait longer than they compute, or keep one core busy.

use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};

use crate::test::tally::Tally;

/// How many threads there are, one for each core.
const THREADS: usize = 2;

/// Takes each item in turn, and adds to the tally what `work` counts. `work` is told which of the threads it runs on. An
/// item that it can't do is a failure, and the others are still done.
pub(super) fn in_pairs<T: Send>(
    tally: &mut Tally,
    items: Vec<T>,
    work: impl Fn(usize, T, &mut Tally) -> Result<()> + Sync,
) -> Result<()> {
    let part = tally.part();
    let (queue, all) = (Mutex::new(items.into_iter()), Mutex::new(Tally::new(part)));
    let run = |number: usize| {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(item) = next() {
            let mut own = Tally::new(part);
            if let Err(error) = work(number, item, &mut own) {
                own.check(&format!("{part}: {error:#}"), false);
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).add(own);
        }
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread of {part} panicked")))
    })?;
    tally.add(all.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}
