//! Whether the kernel may write a tmpfs to a disk: tmpfs pages can be swapped out, ramfs pages cannot.

use std::io::ErrorKind;

/// A warning when swap is in use, or when that cannot be told; `None` when there is none.
pub fn swap_in_use() -> Option<String> {
    match std::fs::read_to_string("/proc/swaps") {
        Ok(text) => warning(&text),
        // A kernel without swap has no such file.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("whether swap is in use cannot be told: /proc/swaps: {error}")),
    }
}

/// Reads the table of `/proc/swaps`. Compressed RAM (zram) is RAM and does not count.
fn warning(swaps: &str) -> Option<String> {
    let names = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let disks: Vec<_> = names.filter(|name| !name.starts_with("/dev/zram")).collect();
    (!disks.is_empty()).then(|| {
        let disks = disks.join(", ");
        format!("swap is in use ({disks}): what is in RAM may reach a disk; `swapoff -a` or encrypted swap prevents it")
    })
}

#[cfg(test)]
mod tests {
    use super::warning;

    const HEADER: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn a_disk_is_warned_of_and_zram_is_not() {
        assert_eq!(warning(HEADER), None);
        assert_eq!(warning(""), None);
        assert_eq!(warning(&format!("{HEADER}/dev/zram0 partition 8388604 0 100\n")), None);
        let text = warning(&format!("{HEADER}/dev/zram0 partition 1 0 1\n/swapfile file 1 0 -2\n"));
        assert!(text.is_some_and(|text| text.starts_with("swap is in use (/swapfile):")));
    }
}
