//! What Linux says of the machine and of processes in text files. `None` if it does not.

use std::fs;

/// The value on the first line of a file that begins with `name`, without separators and quotes.
pub(crate) fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start().trim_start_matches([':', '=']).trim().trim_matches('"').to_owned())
}

/// The number at the beginning of such a value.
pub(crate) fn number(file: &str, name: &str) -> Option<u64> {
    field(file, name)?.split_whitespace().next()?.parse().ok()
}

/// The bytes in such a value, which is in kB.
pub(crate) fn bytes(file: &str, name: &str) -> Option<u64> {
    Some(1024 * number(file, name)?)
}

/// The governor of the processors' clocks. Most virtual machines have none.
pub(crate) fn governor() -> Option<String> {
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    Some(governor.trim().to_owned())
}

/// Every process that can be read: its id, its parent's, and the ticks of processor time of it and of the children that
/// it has waited for.
pub(crate) fn processes() -> Vec<(u32, u32, u64)> {
    let ids =
        fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let process = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The command's name is in parentheses and may contain anything, so fields are counted from the last one.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some((id, fields.get(1)?.parse().ok()?, ticks))
    };
    ids.filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "model name\t: AMD EPYC\nNAME=\"Debian 12\"\nMax open files   1024   4096 files\n")
            .unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(field(file, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(field(file, "NAME").as_deref(), Some("Debian 12"));
        assert_eq!(number(file, "Max open files"), Some(1024));
        assert_eq!((number(file, "NAME"), number("/nowhere", "x")), (None, None));
        assert!(bytes("/proc/meminfo", "MemTotal").is_some_and(|bytes| bytes > 100_000_000));
    }
}
