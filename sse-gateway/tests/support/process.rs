//! What Linux says the gateway's process holds.

use std::fs;
use std::time::{Duration, Instant};

use super::gateway::{Gateway, PATIENCE};

impl Gateway {
    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.id()));
        folder.expect("it runs").count()
    }

    /// Waits until it has no more of them open than these.
    pub(crate) async fn until_descriptors(&self, most: usize) {
        let began = Instant::now();
        while self.descriptors() > most {
            let open = self.descriptors();
            assert!(began.elapsed() < PATIENCE, "still {open}, not {most}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it allocated, in KiB. Pages of files are left out: they come and go with other processes.
    pub(crate) fn anonymous_memory(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.id());
        let text = fs::read_to_string(path).expect("it runs");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("Pss_Anon:")?.strip_suffix(" kB"));
        value.expect("the line").trim().parse().expect("a number")
    }
}
