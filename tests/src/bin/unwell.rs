//! Serves what fails. Takes what it is that fails, as a word: `ready` (the service, before it is asked), `make` (what makes a service for each
//! connection), or nothing: then the path says it.
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use graceful::{Shutdown, http};
use graceful_tests::{argument, log, say};
use hyper::body::Incoming;
use tokio::task::yield_now;
use tower::{Service, service_fn};

#[derive(Clone)]
struct Unwell {
    is_ready: bool,
}

impl Service<Request<Incoming>> for Unwell {
    type Response = Response;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.is_ready {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(io::Error::other("not ready, never"))),
        }
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        async move {
            match request.uri().path() {
                "/call" => Err(io::Error::other("no answer")),
                "/body" => {
                    let pieces =
                        [Ok(Bytes::from("piece")), Err(io::Error::other("no more pieces"))];
                    Ok(Response::new(Body::from_stream(one_by_one(pieces))))
                }
                "/short" => {
                    let pieces = ["piece", ""].map(|piece| Ok::<_, Infallible>(piece.into()));
                    let response = Response::builder().header("content-length", 10);
                    let body = Body::from_stream(one_by_one(pieces));
                    Ok(response.body(body).expect("a response"))
                }
                // What comes goes back.
                "/echo" => {
                    let pieces = Body::new(request.into_body()).into_data_stream();
                    let pieces = pieces.inspect(|piece| say(format_args!("{}", piece.is_ok())));
                    Ok(Response::new(Body::from_stream(pieces)))
                }
                _ => Ok(Response::new(Body::from("hello"))),
            }
        }
        .boxed()
    }
}

/// Each but the first after a turn, so that what was before is sent.
fn one_by_one<E>(pieces: [Result<Bytes, E>; 2]) -> impl Stream<Item = Result<Bytes, E>> {
    let [first, second] = pieces;
    let later = stream::once(async {
        yield_now().await;
        second
    });
    stream::iter([first]).chain(later)
}

#[graceful::main(timeout = "10s", finalize_timeout = "1s")]
async fn main(shutdown: Shutdown) -> io::Result<()> {
    log();
    let word = argument(1);
    let listener = shutdown.listen("http", "127.0.0.1:0").await?;
    say(format_args!("port {}", listener.local_addr()?.port()));
    let service = Unwell { is_ready: word != "ready" };
    if word == "make" {
        let make =
            service_fn(async |_: SocketAddr| Err::<Unwell, _>(io::Error::other("no service")));
        return http::serve(listener, make, &shutdown).await;
    }
    http::serve(listener, service, &shutdown).await
}
