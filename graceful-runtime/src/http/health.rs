//! Health checks for balancers.

use std::{
    convert::Infallible,
    fmt::Write,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower_service::Service;

use crate::{handle::shutdown::Shutdown, model::lifecycle::Phase, tower::body::is_in_request};

/// A service that answers the health checks `/livez` and `/readyz`.
///
/// It may be mounted under any path whose last segment is one of these. In axum: `route_service("/livez", health.clone())` or
/// `nest_service("/health", health)`.
///
/// * `/livez` answers 200 for as long as the program answers at all. That includes the drain, because restarting a program that is stopping only disturbs it.
/// * `/readyz` answers 200 while the program [is ready](Shutdown::is_ready), and 503 before that and from the lame duck on.
///
/// The body is one word, `ok` or the phase. With `Accept: application/json` or `?format=json` it is
///
/// ```json
/// {"ready":false,"phase":"draining","in_flight":3,"remaining":21.5}
/// ```
///
/// `phase` is one of `init`, `running`, `lame_duck`, `draining` and `finalizing`. `in_flight` does not include the health check itself. `remaining` is the
/// number of seconds until the drain is ended by force, or `null` if no stop was requested.
///
/// Other paths get 404, and methods other than `GET` and `HEAD` get 405.
#[must_use]
pub fn health(shutdown: &Shutdown) -> Health {
    Health { shutdown: shutdown.clone() }
}

/// The service of [`health`].
#[derive(Clone, Debug)]
pub struct Health {
    shutdown: Shutdown,
}

impl<B> Service<Request<B>> for Health {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl Health {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let is_ready = self.shutdown.is_ready();
        let status = match request.uri().path().rsplit('/').next() {
            Some("livez") => StatusCode::OK,
            Some("readyz") if is_ready => StatusCode::OK,
            Some("readyz") => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        if status == StatusCode::NOT_FOUND {
            return plain(status, "no such check: ask for livez or readyz\n".to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only\n".to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if wants_json(request) {
            return respond(status, "application/json", self.json(is_ready));
        }
        let word = if status == StatusCode::OK { "ok" } else { self.phase() };
        plain(status, format!("{word}\n"))
    }

    fn json(&self, is_ready: bool) -> String {
        let Self { shutdown } = self;
        let in_flight = shutdown.in_flight().saturating_sub(usize::from(is_in_request()));
        let phase = self.phase();
        let mut json = format!(
            r#"{{"ready":{is_ready},"phase":"{phase}","in_flight":{in_flight},"remaining":"#
        );
        let _infallible = match shutdown.remaining() {
            Some(remaining) => write!(json, "{:.3}}}", remaining.as_secs_f64()),
            None => write!(json, "null}}"),
        };
        json
    }

    fn phase(&self) -> &'static str {
        match self.shutdown.phase() {
            Phase::Init => "init",
            Phase::Running => "running",
            Phase::LameDuck => "lame_duck",
            Phase::Draining => "draining",
            Phase::Finalizing => "finalizing",
        }
    }
}

fn wants_json<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    let mut accepted = accepted.iter().filter_map(|value| value.to_str().ok());
    let query = request.uri().query().unwrap_or_default();
    accepted.any(|accept| accept.contains("application/json"))
        || query.split('&').any(|pair| pair == "format=json")
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // The next check needs a fresh answer.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
