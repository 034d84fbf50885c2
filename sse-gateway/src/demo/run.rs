//! Runs the gateway with the demo around it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use super::{Buttons, Demo};
use crate::config::upstream::Upstream;
use crate::config::{Config, Error, FreePorts, ListenAddress, Opening};
use crate::gateway::{self, Gateway};

/// The demo is for looking at: its drain takes this long at most, and is called off afterwards.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves the demo until told to stop.
///
/// # Errors
///
/// When it cannot start: an address in use that may not give way.
pub(crate) fn run(
    mut config: Config,
    opening: &Opening,
    free_ports: FreePorts,
    nodes: Option<Config>,
) -> Result<ExitCode, Error> {
    gateway::runtime()?.block_on(async {
        let demo = Demo::start()
            .await
            .map_err(|error| Error::at("demo", error))?;
        let upstream = Upstream::parse(&format!("http://{}", demo.addr()))
            .map_err(|error| Error::at("demo", error))?;
        point_at(&upstream, &mut config);
        let window = config.gateway.drain_window.min(DRAIN);
        config.gateway.drain_window = window;
        let opening = Opening {
            upstream: upstream.to_string(),
            ..opening.clone()
        };
        let wanted = (config.gateway.listen.clone(), config.gateway.admin_listen);
        let gateway = Gateway::build(config, &opening, free_ports, None).await?;
        tracing::info!("upstream of the demo on {upstream}");
        if let Some(mut nodes) = nodes {
            point_at(&upstream, &mut nodes);
            demo.start_nodes(nodes).await?;
        }
        demo.stands_before(buttons(&gateway, window));
        say(&gateway, &wanted);
        let service = demo.around(gateway.router.clone());
        Ok(gateway.serve(service).await)
    })
}

fn point_at(upstream: &Upstream, config: &mut Config) {
    for route in config.routes.iter_mut().chain(&mut config.fallback) {
        route.settings.upstream = upstream.clone().into();
    }
}

fn buttons(gateway: &Gateway, window: Duration) -> Buttons {
    let drain = gateway.state.drain.clone();
    let relays = gateway.state.relays.clone();
    let streams = gateway.state.streams.clone();
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
        streams: Box::new(move || streams.to_json()),
    }
}

/// Not waited for: it goes to whoever reads it, and there may be nobody.
fn say(gateway: &Gateway, (listen, admin_listen): &(Vec<ListenAddress>, Option<SocketAddr>)) {
    let pages = listen.iter().zip(&gateway.listening);
    let pages = pages.filter_map(|(wanted, is)| wanted.tcp().zip(is.address.tcp()));
    let text = start_line(
        &pages.collect::<Vec<_>>(),
        admin_listen.zip(gateway.admin_address),
    );
    std::thread::spawn(move || {
        let _ = std::io::stdout().write_all(text.as_bytes());
    });
}

/// Each address as it was wanted, and as it is.
fn start_line(
    pages: &[(SocketAddr, SocketAddr)],
    admin: Option<(SocketAddr, SocketAddr)>,
) -> String {
    let line = |what: &str, (wanted, address): (SocketAddr, SocketAddr)| {
        let why = match has_moved((wanted, address)) {
            true => format!("  ({wanted} is in use)"),
            false => String::new(),
        };
        format!("  {what}  http://{address}/{why}\n")
    };
    let pages = pages.iter().map(|page| line("The demo is at", *page));
    let pages: String = pages.collect();
    let admin = admin.filter(|admin| has_moved(*admin));
    let admin = admin.map_or_else(String::new, |admin| line("Its admin is at", admin));
    format!("\n{pages}{admin}\n")
}

fn has_moved((wanted, address): (SocketAddr, SocketAddr)) -> bool {
    wanted.port() != 0 && wanted.port() != address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_line_names_a_port_that_was_in_use() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(
            start_line(&[(at(8080), at(8080))], Some((at(9078), at(9078)))),
            "\n  The demo is at  http://127.0.0.1:8080/\n\n"
        );
        assert_eq!(
            start_line(&[(at(0), at(40000))], None),
            "\n  The demo is at  http://127.0.0.1:40000/\n\n"
        );
        assert_eq!(
            start_line(&[(at(8080), at(40000))], Some((at(9078), at(40001)))),
            "\n  The demo is at  http://127.0.0.1:40000/  (127.0.0.1:8080 is in use)\n  \
             Its admin is at  http://127.0.0.1:40001/  (127.0.0.1:9078 is in use)\n\n"
        );
    }
}
