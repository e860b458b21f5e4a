//! What it was measured on.

use serde_json::{Value, json};

/// The machine, as far as figures depend on it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
}

impl Machine {
    /// This one. What cannot be found out is empty.
    pub(crate) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kilobytes = memory.split(' ').next().and_then(|text| text.parse().ok());
        Self {
            cores: cores.map_or(0, usize::from),
            processor: value(&read("/proc/cpuinfo"), "model name"),
            memory_gib: kilobytes.unwrap_or(0.0) / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores of {}, {:.0} GiB of memory, Linux {}",
            self.cores, self.processor, self.memory_gib, self.kernel
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory_gib": self.memory_gib,
            "kernel": self.kernel,
        })
    }
}
