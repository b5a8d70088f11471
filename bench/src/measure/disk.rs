//! The disk under the stores: its file system, and how long a flush takes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::results::noise::Disk;
use crate::stats::quantile;

/// Number of flushes that are timed, each after a write of this many bytes.
const FLUSHES: usize = 40;
const BYTES: usize = 4096;

/// Describes the disk of `folder`; `None` if nothing can be written there.
pub(crate) fn describe(folder: &Path) -> Option<Disk> {
    let mut file = tempfile::tempfile_in(folder).ok()?;
    let mut ms: Vec<f64> = (0..FLUSHES).map(|_| flush(&mut file)).collect::<Option<_>>()?;
    ms.sort_by(f64::total_cmp);
    let file_system = file_system(folder);
    Some(Disk {
        is_memory: ["tmpfs", "ramfs"].contains(&file_system.as_str()),
        file_system,
        flush_ms_p50: quantile(&ms, 0.5),
        flush_ms_p99: quantile(&ms, 0.99),
    })
}

/// Milliseconds of one flush.
fn flush(file: &mut File) -> Option<f64> {
    file.write_all(&[0; BYTES]).ok()?;
    let begun = Instant::now();
    file.sync_data().ok()?;
    Some(1e3 * begun.elapsed().as_secs_f64())
}

/// The type of the file system that `folder` is on, as the list of mounts has it.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    of_mounts(&mounts, &folder).unwrap_or_else(|| "unknown".to_owned())
}

/// Mounts hide those before them, and the longest place wins.
fn of_mounts(mounts: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(place).then(|| (place.len(), kind.to_owned()))
    };
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts =
            "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\noverlay /tmp/x overlay rw 0 0\n";
        let of = |folder: &str| of_mounts(mounts, Path::new(folder)).unwrap();
        assert_eq!(
            (of("/home"), of("/tmp/y"), of("/tmp/x/z"), of("/tmpx")),
            ("ext4".into(), "tmpfs".into(), "overlay".into(), "ext4".into())
        );
        assert_eq!(of_mounts("", Path::new("/")), None);
    }

    #[test]
    fn this_disk_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let disk = describe(folder.path()).unwrap();
        assert!(
            disk.file_system != "unknown" && disk.flush_ms_p50 > 0.0 && disk.flush_ms_p50 <= disk.flush_ms_p99,
            "{disk:?}"
        );
        assert_eq!(describe(Path::new("/nowhere")), None);
    }
}
