//! The memory of a host's processes.

use crate::system;

/// The resident bytes of the processes that the host started. If the runtime runs in the host itself, those of the
/// host.
pub(crate) fn resident(host: u32) -> u64 {
    let children: u64 = descendants(host).into_iter().map(of_process).sum();
    if children > 0 { children } else { of_process(host) }
}

/// All processes below `root`, at any depth.
fn descendants(root: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, system::number(&status(pid), "PPid")?.try_into().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

fn of_process(pid: u32) -> u64 {
    system::bytes(&status(pid), "VmRSS").unwrap_or(0)
}

fn status(pid: u32) -> String {
    format!("/proc/{pid}/status")
}

/// The growth of a least-squares line from the first point to the last, over the mean; 0 for fewer than two points.
pub(crate) fn growth(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if points.len() < 2 || spread <= 0.0 || y <= 0.0 {
        return 0.0;
    }
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let span = points.iter().map(|point| point.0).fold(f64::MIN, f64::max)
        - points.iter().map(|point| point.0).fold(f64::MAX, f64::min);
    slope * span / y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_of_the_mean() {
        assert_eq!(growth(&[(0.0, 5.0), (9.0, 5.0)]), 0.0);
        assert!((growth(&[(0.0, 90.0), (5.0, 100.0), (10.0, 110.0)]) - 0.2).abs() < 1e-9);
        assert_eq!(growth(&[(0.0, 1.0)]), 0.0);
        assert_eq!(growth(&[]), 0.0);
    }

    #[test]
    fn a_child_counts_for_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        assert!(descendants(std::process::id()).contains(&child.id()));
        assert!(of_process(std::process::id()) > 1 << 20);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
