//! What a process and a core have used, from /proc.

use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's unit of processor time in /proc, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process with all its threads.
pub fn cpu(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15 of the whole.
    let fields = text.rsplit(')').next().context("no fields")?.split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// Memory of a process that is in use now, in KiB.
pub fn memory_kib(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// Busy and whole time of a core since the start of the machine.
pub fn core(number: u32) -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{number} ");
    let line = text.lines().find(|line| line.starts_with(&name)).context("no such core")?;
    let times: Vec<u64> = line.split_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
    let whole: u64 = times.iter().take(8).sum();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    Ok((whole - idle, whole))
}
