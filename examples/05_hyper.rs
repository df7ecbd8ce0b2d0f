//! Only hyper, on a Unix socket. `graceful::http::serve` serves any tower service, and a request is in flight from its head to the end of its answer, however
//! long its body takes.
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
//! and press Ctrl+C in the first terminal before you end the second `curl` with Ctrl+D. The drain waits for the rest of your input:
//!
//! ```text
//! draining cause=signal INT left=1 remaining=25.0s
//! waiting for http (unnamed) PUT /lines (4.1s), main (9.2s) remaining=24.0s
//! ```
//!
//! After Ctrl+D, `curl` shows the number of lines, and the exit status is 0. After a second Ctrl+C, or 25 seconds without Ctrl+D, the request is cut and
//! listed as a straggler, and the exit status is 130.

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
    // A socket file that an earlier program left behind is replaced.
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

/// Counts lines as the body arrives, without storing it.
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
