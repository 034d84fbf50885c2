//! Runs the gateway with the demo around it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use super::{Buttons, Demo};
use crate::config::{Config, Error, Opening};
use crate::gateway::{self, Gateway};

/// The demo is for looking at: its drain takes this long at most, and is called off afterwards.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves the demo until told to stop.
///
/// # Errors
///
/// When it cannot start: an address in use.
pub(crate) fn run(mut config: Config, opening: &Opening) -> Result<ExitCode, Error> {
    gateway::runtime()?.block_on(async {
        let demo = Demo::start()
            .await
            .map_err(|error| Error::at("demo", error))?;
        let upstream = format!("http://{}", demo.addr());
        for route in config.routes.iter_mut().chain(&mut config.fallback) {
            route.upstream.clone_from(&upstream);
        }
        let window = config.drain_window.min(DRAIN);
        config.drain_window = window;
        let opening = Opening {
            upstream: upstream.clone(),
            ..opening.clone()
        };
        let gateway = Gateway::build(config, &opening)?;
        tracing::info!("upstream of the demo on {upstream}");
        demo.stands_before(buttons(&gateway, window));
        say(&gateway);
        let service = demo.around(gateway.router.clone());
        Ok(gateway.serve(service).await)
    })
}

fn buttons(gateway: &Gateway, window: Duration) -> Buttons {
    let drain = gateway.state.drain.clone();
    let relays = gateway.state.relays.clone();
    Buttons {
        drain: Box::new(move || {
            let drain = drain.clone();
            drain.start();
            tokio::spawn(async move {
                tokio::time::sleep(window).await;
                drain.cancel();
            });
        }),
        relays: Box::new(move || relays.to_json()),
    }
}

/// Not waited for: it goes to whoever reads it, and there may be nobody.
fn say(gateway: &Gateway) {
    let line = format!("\n  The demo is at  http://{}/\n\n", gateway.address);
    std::thread::spawn(move || {
        let _ = std::io::stdout().write_all(line.as_bytes());
    });
}
