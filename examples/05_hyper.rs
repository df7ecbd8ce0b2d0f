//! hyper alone, on a Unix socket: what `graceful::http::serve` serves is any tower service, and a request is in flight from its head to
//! the end of its answer, however long its body takes.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin 05_hyper
//! listening on /tmp/graceful-05-hyper.sock
//! ```
//!
//! `HYPER_SOCKET` sets another path. In a second terminal, type
//!
//! ```text
//! $ curl --unix-socket /tmp/graceful-05-hyper.sock http://localhost/readyz             # ok
//! $ curl --unix-socket /tmp/graceful-05-hyper.sock -T - http://localhost/lines         # counts the lines that you type
//! ```
//!
//! and press Ctrl+C in the first one before you end the second `curl` by Ctrl+D. The drain waits for what you have to say:
//!
//! ```text
//! draining cause=signal INT left=1 remaining=25.0s
//! waiting for http (unnamed) PUT /lines (4.1s), main (9.2s) remaining=24.0s
//! ```
//!
//! Ctrl+D: `curl` is told how many lines they were, and the exit status is 0. A second Ctrl+C, or nothing for 25 seconds: it is cut, the request
//! is listed as a straggler, and the status is 130.

use std::{convert::Infallible, env, io, io::Write};

use graceful::Shutdown;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use tower::{Service, service_fn};

#[graceful::main(timeout = "30s")]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let path = env::var_os("HYPER_SOCKET")
        .map_or_else(|| env::temp_dir().join("graceful-05-hyper.sock"), Into::into);
    // A socket that a program left behind which is gone is no obstacle.
    let listener = shutdown.listen_unix("http", &path)?;
    writeln!(io::stdout(), "listening on {}", path.display())?;
    let health = graceful::http::health(&shutdown);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut health = health.clone();
        async move {
            match request.uri().path() {
                "/livez" | "/readyz" => health.call(request).await,
                "/lines" => count_lines(request.into_body()).await,
                _ => Ok(answer(StatusCode::NOT_FOUND, "ask for /lines\n".to_owned())),
            }
        }
    });
    graceful::http::serve(listener, service, &shutdown).await
}

/// Counts while the body comes, so that it takes no room.
async fn count_lines(mut body: Incoming) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut lines = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let bytes = frame.into_data().unwrap_or_default();
                lines += bytes.iter().filter(|&&byte| byte == b'\n').count();
            }
            Err(error) => return Ok(answer(StatusCode::BAD_REQUEST, format!("{error}\n"))),
        }
    }
    Ok(answer(StatusCode::OK, format!("{lines} lines\n")))
}

fn answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
