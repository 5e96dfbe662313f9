use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub(crate) const PROXY_CORE: usize = 0;
pub(crate) const DRIVER_CORE: usize = 1;

/// The kernel counts processor time in hundredths of a second for user space (`sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

/// Lets this process and its children open as many files as they may; two thousand idle sessions are four
/// thousand sockets on either side.
pub(crate) fn raise_file_limit() -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = files.and_then(|rest| rest.split_whitespace().nth(1)).context("no limit of open files")?;
    let me = std::process::id().to_string();
    run_quietly("prlimit", &["--pid", &me, &format!("--nofile={hard}:{hard}")])
}

/// Keeps this process on `core`; its threads are not started yet.
pub(crate) fn pin_this_process(core: usize) -> Result<()> {
    run_quietly("taskset", &["-cp", &core.to_string(), &std::process::id().to_string()])
}

fn run_quietly(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("{program} cannot be run"))?;
    if !status.success() {
        bail!("{program} {} failed", arguments.join(" "));
    }
    Ok(())
}

/// User and system time that a process and its descendants have used.
pub(crate) fn cpu_time(root: u32) -> Result<Duration> {
    let mut ticks = 0;
    for pid in tree(root)? {
        let Some(fields) = stat_fields(pid) else { continue };
        // Counted behind the command name, utime and stime are fields 12 and 13 (proc(5): 14 and 15).
        for index in [11, 12] {
            ticks += fields.get(index).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        }
    }
    Ok(TICK * ticks)
}

/// Proportional set size of a process and its descendants, in KiB.
pub(crate) fn pss_kib(root: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(root)? {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        sum += kib.with_context(|| format!("{path} has no Pss"))?;
    }
    Ok(sum)
}

fn tree(root: u32) -> Result<Vec<u32>> {
    if !Path::new(&format!("/proc/{root}")).exists() {
        bail!("the proxy has ended");
    }
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let parent = stat_fields(pid).and_then(|fields| fields.get(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut members = vec![root];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        members.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(members)
}

/// The fields of `/proc/PID/stat` behind the command name, which may hold spaces itself.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
