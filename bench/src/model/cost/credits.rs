//! CPU credits of burstable machines, in unlimited mode.
//!
//! A machine earns credits all the time and spends them on CPU time. It keeps at most those of a day, and may owe as many.
//! CPU time beyond that is billed. So what counts over a month is the mean, as long as busy hours are paid back within a
//! day.

use anyhow::Result;

use crate::model::cost::given::Given;
use crate::model::prices::Machine;

/// Hours of which a machine keeps, or may owe, the credits.
const KEPT: f64 = 24.0;

/// vCPU seconds of a request, by the name of the assumption for what a node gets through when all its vCPUs are busy.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn vcpus_of_a_request(given: &Given<'_>, throughput: &str) -> Result<f64> {
    Ok(given.machine()?.vcpus * given.work()? / given.assumed(throughput)?)
}

/// vCPUs that `nodes` machines use beyond what they earn, if they use `mean` vCPUs together all the time.
pub(crate) fn beyond(machine: &Machine, nodes: f64, mean: f64) -> f64 {
    if machine.credits > 0.0 {
        (mean.min(nodes * machine.vcpus) - nodes * machine.credits / 60.0).max(0.0)
    } else {
        0.0
    }
}

/// One machine's vCPU-hours beyond its credits in `hours` hours of a load that repeats. `used` is the vCPUs that are busy
/// in each part of the load, and `part` a part's length in hours.
pub(crate) fn billed(machine: &Machine, used: &[f64], part: f64, hours: f64) -> f64 {
    let (most, mut balance, mut billed, mut at) = (KEPT * machine.credits / 60.0, 0.0, 0.0, 0.0);
    if machine.credits <= 0.0 || used.is_empty() || part <= 0.0 {
        return 0.0;
    }
    // The warm-up is not billed. It only sets the first balance.
    let warm_up = used.len() as f64 * part * (2.0 * KEPT / (used.len() as f64 * part)).ceil();
    for vcpus in used.iter().cycle() {
        if at >= warm_up + hours {
            break;
        }
        let length = part.min(warm_up + hours - at);
        balance += (machine.credits / 60.0 - vcpus.min(machine.vcpus)) * length;
        balance = f64::min(balance, most);
        if balance < -most {
            billed += if at >= warm_up { -most - balance } else { 0.0 };
            balance = -most;
        }
        at += part;
    }
    billed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A t4g.small: 24 credits an hour are 0.4 vCPUs.
    fn small() -> Machine {
        Machine { vcpus: 2.0, credits: 24.0, surplus: Some("t4g-surplus".to_owned()) }
    }

    #[test]
    fn what_is_used_beyond_the_credits_is_billed() {
        assert!((beyond(&small(), 1.0, 1.0) - 0.6).abs() < 1e-12);
        assert!((beyond(&small(), 3.0, 1.5) - 0.3).abs() < 1e-12);
        assert_eq!(beyond(&small(), 1.0, 0.4), 0.0);
        // No machine uses more than it has.
        assert!((beyond(&small(), 1.0, 9.0) - 1.6).abs() < 1e-12);
        assert_eq!(beyond(&Machine { credits: 0.0, surplus: None, ..small() }, 1.0, 2.0), 0.0);
    }

    #[test]
    fn a_day_s_credits_even_out_its_hours() {
        let day = |busy: f64, hours: usize| {
            let used: Vec<f64> = (0..24).map(|hour| if hour < hours { busy } else { 0.0 }).collect();
            billed(&small(), &used, 1.0, 240.0)
        };
        // 4 hours of 2 vCPUs are 8 of the 9.6 vCPU-hours that a day earns.
        assert_eq!(day(2.0, 4), 0.0);
        // 6 hours are 12: 2.4 more than it earns, each of ten days.
        assert!((day(2.0, 6) - 24.0).abs() < 1e-9, "{}", day(2.0, 6));
        // 1 vCPU all the time is 0.6 too many, as `beyond` has it.
        assert!((billed(&small(), &[1.0; 24], 1.0, 730.0) - 0.6 * 730.0).abs() < 1e-9);
    }

    #[test]
    fn a_week_is_not_evened_out() {
        // A day of 2 vCPUs takes 38.4 vCPU-hours more than it earns. 9.6 are kept and 9.6 may be owed, so 19.2 are billed.
        let week: Vec<f64> = (0..7).map(|day| if day == 0 { 2.0 } else { 0.0 }).collect();
        assert!((billed(&small(), &week, 24.0, 7.0 * 24.0) - 19.2).abs() < 1e-9);
    }
}
