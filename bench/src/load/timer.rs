//! A timer that is finer than tokio's. tokio's rounds up to whole milliseconds, which is more than a warm answer takes.

use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A kernel timer with an accuracy of some microseconds.
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    /// Creates a timer. Must be called within a tokio runtime.
    pub fn new() -> Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .context("cannot create a timer")?;
        #[expect(unsafe_code, reason = "the safe constructor is deprecated for all types, OwnedFd included")]
        // SAFETY: the `OwnedFd` is the same open descriptor until it is dropped together with this value.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.context("cannot watch a timer")?;
        Ok(Self { fd })
    }

    /// Waits until `due`, or returns at once if `due` is past. The future may be dropped and the method called again.
    pub async fn until(&self, due: Instant) -> Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once).context("cannot set a timer")?;
        loop {
            let mut ready = self.fd.readable().await.context("cannot wait for a timer")?;
            // The read tells an expiry from a readiness that an earlier setting left.
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut [0; 8])?)) {
                Ok(read) => {
                    read.context("cannot read a timer")?;
                    return Ok(());
                }
                Err(_not_yet) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn waits_less_than_a_millisecond_where_asked_to() {
        let timer = Timer::new().unwrap();
        let mut late: Vec<Duration> = Vec::new();
        for _ in 0..100 {
            let due = Instant::now() + Duration::from_micros(300);
            timer.until(due).await.unwrap();
            late.push(Instant::now().duration_since(due));
        }
        late.sort();
        // Other programs may make most of them late; rounding to milliseconds would make all of them late.
        assert!(late[5] < Duration::from_micros(500), "{:?} late", late[5]);
    }

    #[tokio::test]
    async fn a_dropped_wait_does_not_end_the_next_one_early() {
        let timer = Timer::new().unwrap();
        for _ in 0..3 {
            let dropped = timer.until(Instant::now() + Duration::from_millis(200));
            assert!(futures_util::FutureExt::now_or_never(dropped).is_none());
            std::thread::sleep(Duration::from_millis(210));
            let due = Instant::now() + Duration::from_millis(3);
            timer.until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
    }
}
