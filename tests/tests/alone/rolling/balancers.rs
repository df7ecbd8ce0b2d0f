//! The balancers, in front of three servers. Everything has the same port, and an address of its own in 127.0.0.0/8: nothing that goes out, which is
//! always from 127.0.0.1, can take the port of a server that is not there for a moment.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use graceful_tests::PATIENCE;
use tempfile::TempDir;

/// What stands in the configurations.
pub(crate) const SERVERS: [u8; 3] = [2, 3, 4];

/// One way through one balancer.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) name: &'static str,
    last: u8,
    /// Whether a request is lost with the server that had it.
    pub(crate) never_retries: bool,
    /// Whether it asks whether a server is ready, or goes on to the next one.
    pub(crate) is_to_lose_none: bool,
}

#[rustfmt::skip]
pub(crate) const FRONTS: [Front; 6] = [
    Front { name: "HAProxy, `retries 0`", last: 5, never_retries: true, is_to_lose_none: true },
    Front { name: "HAProxy, `retries 0`, HTTP/2 to the servers", last: 6, never_retries: true, is_to_lose_none: true },
    Front { name: "nginx", last: 7, never_retries: false, is_to_lose_none: true },
    Front { name: "nginx, `proxy_next_upstream off`", last: 8, never_retries: true, is_to_lose_none: false },
    Front { name: "Envoy", last: 9, never_retries: true, is_to_lose_none: true },
    Front { name: "Envoy, HTTP/2 to the servers", last: 10, never_retries: true, is_to_lose_none: true },
];

impl Front {
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        address(self.last, port)
    }
}

pub(crate) fn address(last: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, last), port).into()
}

/// A port that is free on all the addresses.
pub(crate) fn free_port() -> u16 {
    let all = || SERVERS.into_iter().chain(FRONTS.iter().map(|front| front.last));
    let port_of_one = || -> io::Result<u16> {
        let first = TcpListener::bind(address(1, 0))?.local_addr()?.port();
        for last in all() {
            TcpListener::bind(address(last, first))?;
        }
        Ok(first)
    };
    (0..100).find_map(|_| port_of_one().ok()).expect("a free port")
}

/// All balancers. Dropped, they are killed.
#[derive(Debug)]
pub(crate) struct Balancers {
    /// In front of their folder, which is removed after them.
    _processes: Vec<Process>,
    _folder: TempDir,
}

impl Balancers {
    /// Starts them, and waits until they take connections.
    pub(crate) fn start(port: u16) -> Self {
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            let text = text.replace("PORT", &port.to_string());
            let text = text.replace("FOLDER", &folder.path().display().to_string());
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let haproxy = write("haproxy.cfg", include_str!("haproxy.cfg"));
        let nginx = write("nginx.conf", include_str!("nginx.conf"));
        let envoy = write("envoy.yaml", include_str!("envoy.yaml"));
        let path = folder.path();
        let mut processes = vec![
            Process::start(path, &["haproxy", "-db", "-f", &haproxy]),
            Process::start(path, &["nginx", "-e", "stderr", "-p", ".", "-c", &nginx]),
            Process::start(
                path,
                // One worker: what one has seen, all have.
                &[
                    "envoy",
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "-l",
                    "warn",
                    "-c",
                    &envoy,
                ],
            ),
        ];
        for (front, process) in FRONTS.iter().zip([0, 0, 1, 1, 2, 2]) {
            processes[process].listens_on(front.address(port));
        }
        Self { _processes: processes, _folder: folder }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    output: std::path::PathBuf,
}

impl Process {
    fn start(folder: &Path, line: &[&str]) -> Self {
        let output = folder.join(line[0]).with_extension("output");
        let file = File::create(&output).expect("a file");
        let child = Command::new(line[0])
            .args(&line[1..])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", line[0]));
        Self { child, output }
    }

    fn listens_on(&mut self, address: SocketAddr) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("a child can be waited for");
            if ended.is_some() || Instant::now() > end {
                let output = fs::read_to_string(&self.output).unwrap_or_default();
                panic!("nobody listens on {address} ({ended:?}); printed:\n{output}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
