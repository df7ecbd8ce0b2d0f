//! HTTPS with rustls: `graceful::http::serve` on a custom listener.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 04_tls
//! listening on https://localhost:8443
//! ```
//!
//! The program creates a certificate when it starts, and writes it to `graceful-04-tls.pem` in the temporary folder. `TLS_CERTIFICATE` sets another file, and
//! `TLS_ADDRESS` another address. In a second terminal, type
//!
//! ```text
//! $ curl -i --cacert /tmp/graceful-04-tls.pem https://localhost:8443/              # HTTP/2, by ALPN
//! $ curl -i --cacert /tmp/graceful-04-tls.pem --http1.1 https://localhost:8443/    # HTTP/1.1
//! $ curl -i --cacert /tmp/graceful-04-tls.pem https://localhost:8443/slow/5000     # after five seconds
//! ```
//!
//! and press Ctrl+C in the first terminal while the last `curl` waits. It gets its 200, all connections are closed with TLS's `close_notify`, so that clients can
//! tell the end from a broken connection, and the exit status is 0. A peer that never continues its handshake, such as
//!
//! ```text
//! $ (exec 3<>/dev/tcp/127.0.0.1/8443; cat <&3)       # in bash
//! ```
//!
//! delays neither the clients after it nor the stop, which waits for it for at most half a second.

use std::{
    env, fs, io,
    io::Write,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{Router, extract::Path, http::Version, routing::get};
use graceful::Shutdown;
use rcgen::CertifiedKey;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_rustls::{
    Accept, TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

#[graceful::main(timeout = "10s")]
async fn main(shutdown: Shutdown) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let acceptor = acceptor()?;
    let address = env::var("TLS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8443".to_owned());
    let listener = shutdown.listen("https", address).await?;
    writeln!(io::stdout(), "listening on https://localhost:{}", listener.local_addr()?.port())?;
    let routes = Router::new()
        .route("/", get(async |version: Version| format!("hello over {version:?}\n")))
        .route("/slow/{ms}", get(slow));
    graceful::http::serve(Tls { listener, acceptor }, routes, &shutdown).await?;
    Ok(())
}

/// A request that is in flight for `ms`.
async fn slow(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("after {ms} ms\n")
}

/// A TCP listener whose handshake is that of TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl graceful::http::Listener for Tls {
    type Stream = TlsStream<TcpStream>;
    type Address = SocketAddr;
    type Handshake = Accept<TcpStream>;

    /// Returns the handshake without waiting for it, because the next peer may be faster.
    async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
        let (tcp, address) = graceful::http::Listener::accept(&mut self.listener).await?;
        Ok((self.acceptor.accept(tcp.into_inner()?), address))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.listener.as_fd())
    }
}

/// An acceptor for `localhost` with a new key and certificate.
fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let path = env::var_os("TLS_CERTIFICATE")
        .map_or_else(|| env::temp_dir().join("graceful-04-tls.pem"), Into::into);
    fs::write(&path, cert.pem()).with_context(|| format!("cannot write {}", path.display()))?;
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.into()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
