//! nginx, as Debian has it.

use std::{fs, path::Path, process::Command, thread};

use super::{
    Error,
    folder::Folder,
    process::Process,
    program::{ask_version, free_address, program, wait_for},
    server::Server,
};

/// What differs between the benches.
pub(crate) struct Nginx<'a> {
    pub(crate) workers: usize,
    /// The file of a module to load.
    pub(crate) module: Option<&'a str>,
    /// Directives for `http`, outside of its server.
    pub(crate) http: &'a str,
    /// Directives for the server.
    pub(crate) server: &'a str,
}

impl Nginx<'_> {
    /// Starts it, and waits until it can be connected to.
    ///
    /// # Errors
    ///
    /// When it is not there, or does not start.
    pub(crate) fn start(&self) -> Result<Server, Error> {
        // Says how to get it, if it is not there.
        version()?;
        let folder = Folder::new()?;
        let address = free_address()?;
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, self.configuration(folder.path(), &address))?;
        let mut command = Command::new(program("nginx"));
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&configuration);
        let process = Process::start("nginx", &mut command)?;
        wait_for(&process, &address)?;
        Ok(Server::in_folder(process, address, folder))
    }

    fn configuration(&self, folder: &Path, address: &str) -> String {
        let folder = folder.display();
        let Self {
            workers,
            module,
            http,
            server,
        } = self;
        let module = module.map_or_else(String::new, |module| format!("load_module {module};"));
        format!(
            "
daemon off;
{module}
pid {folder}/pid;
error_log stderr warn;
worker_processes {workers};
events {{
    worker_connections 16000;
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen {address} reuseport backlog=4096;
        tcp_nodelay on;
        {server}
    }}
}}
"
        )
    }
}

/// One for each core, which is what tokio takes for its threads.
pub(crate) fn workers() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

pub(crate) fn version() -> Result<String, Error> {
    let output = ask_version("nginx", "nginx-light")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let version = said
        .split_once('/')
        .and_then(|(_, version)| version.split_whitespace().next());
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("nginx -v said {said:?}").into())
}
