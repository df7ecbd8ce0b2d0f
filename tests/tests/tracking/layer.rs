//! The tower layer by itself: when a request is in flight, and what comes of it.

use std::{
    convert::Infallible,
    future::{Ready, pending, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use graceful::{Shutdown, tower::Layer};
use graceful_tests::life::{Log, report_of};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{Request, Response, StatusCode, body::Frame};
use tower::{Layer as _, Service, ServiceExt, service_fn};

type Piece = Result<Frame<Bytes>, Infallible>;

fn piece(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn request() -> Request<()> {
    Request::get("/reports/42").body(()).expect("a request")
}

/// D13 D14: in flight until its body has ended, not only until its head was answered.
#[graceful::test]
async fn a_request_is_in_flight_until_its_body_has_ended(shutdown: Shutdown) {
    let answer = service_fn(async |_: Request<()>| {
        let pieces = futures_util::stream::iter([piece("one"), piece("two")]);
        Ok::<_, Infallible>(Response::new(StreamBody::new(pieces)))
    });
    let service = Layer::new(&shutdown).layer(answer);
    assert_eq!(shutdown.in_flight(), 0);
    let response = service.clone().oneshot(request()).await.expect("an answer");
    assert_eq!(shutdown.in_flight(), 1);
    let names: Vec<_> = shutdown.stragglers().iter().map(ToString::to_string).collect();
    assert!(names.iter().any(|name| name.starts_with("http GET /reports/42 0")), "{names:?}");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!((&*body, shutdown.in_flight()), (&b"onetwo"[..], 0));

    let response = service.oneshot(request()).await.expect("an answer");
    assert_eq!(shutdown.in_flight(), 1);
    drop(response);
    assert_eq!(shutdown.in_flight(), 0, "the client went away");
}

#[graceful::test]
async fn a_client_that_goes_away_before_the_answer_leaves_nothing(shutdown: Shutdown) {
    let answer = service_fn(async |_: Request<()>| {
        pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let mut service = Layer::new(&shutdown).layer(answer);
    {
        let mut waiting = pin!(service.call(request()));
        let is_pending = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        assert!(is_pending && shutdown.in_flight() == 1);
    }
    assert_eq!(shutdown.in_flight(), 0);
}

/// D13: also when the handler panics; the panic is in the report.
#[test]
fn a_panic_is_answered_and_reported() {
    let report = report_of(async |shutdown| {
        let answer =
            service_fn(async |_: Request<()>| -> Result<Response<Full<Bytes>>, Infallible> {
                panic!("a handler")
            });
        let early =
            service_fn(|_: Request<()>| -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
                panic!("a call")
            });
        let layer = Layer::new(&shutdown);
        for response in [
            layer.layer(answer).oneshot(request()).await,
            layer.layer(early).oneshot(request()).await,
        ] {
            assert_eq!(response.expect("an answer").status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(shutdown.in_flight(), 0);
    });
    let panics: Vec<_> = report.panics.iter().map(|panic| panic.message.as_str()).collect();
    assert_eq!((panics, report.exit_status), (vec!["a handler", "a call"], 0));
}

struct NeverReady;

impl Service<Request<()>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err("never ready"))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

/// Also where the server below would not say so; each once, and handed on.
#[graceful::test]
async fn what_fails_is_said_with_the_name_of_the_request(shutdown: Shutdown) {
    let (log, _guard) = Log::start();
    let layer = Layer::new(&shutdown);
    let call = service_fn(async |_: Request<()>| Err::<Response<Full<Bytes>>, _>("no answer"));
    assert_eq!(layer.layer(call).oneshot(request()).await.expect_err("no answer"), "no answer");
    let body = service_fn(async |_: Request<()>| {
        let pieces = [Ok(Frame::data(Bytes::from("one"))), Err(io::Error::other("no more"))];
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = layer.layer(body).oneshot(request()).await.expect("an answer");
    response.into_body().collect().await.expect_err("no more");
    layer.layer(NeverReady).oneshot(request()).await.expect_err("never ready");
    assert_eq!(shutdown.in_flight(), 0);
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    let [call, body, ready] = &*lines else { panic!("{text}") };
    for (line, error) in [(call, "no answer"), (body, "no more")] {
        assert!(line.contains(error) && line.contains("GET /reports/42"), "{text}");
    }
    // There is no request yet.
    assert!(ready.contains("never ready"), "{text}");
}

/// A force ends a handler with 503, and a body with an error; both are listed.
#[test]
fn a_force_ends_what_has_not_ended() {
    let report = report_of(async |shutdown| {
        let layer = Layer::new(&shutdown);
        let stuck = layer.layer(service_fn(async |_: Request<()>| {
            pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }));
        let endless = layer.layer(service_fn(async |_: Request<()>| {
            let pieces = futures_util::stream::pending::<Piece>();
            Ok::<_, Infallible>(Response::new(StreamBody::new(pieces)))
        }));
        // Not tracked, as the connections of another server.
        let stuck = tokio::spawn(stuck.oneshot(request()));
        let body = tokio::spawn(async move {
            let response = endless.oneshot(request()).await.expect("an answer");
            response.into_body().collect().await.map(drop)
        });
        while shutdown.in_flight() < 2 {
            tokio::task::yield_now().await;
        }
        shutdown.finalizer("check", async move || {
            let response = stuck.await.expect("no panic").expect("an answer");
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let error = body.await.expect("no panic").expect_err("it was cut");
            assert_eq!(error.to_string(), "the drain was ended by force");
        });
        shutdown.request("enough");
        shutdown.force("now");
    });
    let names: Vec<_> = report.stragglers.iter().map(|straggler| straggler.name.as_str()).collect();
    assert_eq!((names, report.exit_status), (vec!["GET /reports/42"; 2], 1), "{report}");
}

/// D15: what comes in the drain is refused, if that is asked for.
#[graceful::test]
async fn what_comes_in_the_drain_is_refused_if_asked_to(shutdown: Shutdown) {
    let answer = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"served"))))
    });
    let serves = Layer::new(&shutdown).layer(answer);
    let refuses = Layer::new(&shutdown).refuse(Duration::from_millis(1500)).layer(answer);
    assert_eq!(
        refuses.clone().oneshot(request()).await.expect("an answer").status(),
        StatusCode::OK
    );
    shutdown.request("enough");
    let refused = refuses.oneshot(request()).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let field = |name| refused.headers().get(name).map(|value| value.to_str().expect("a text"));
    assert_eq!((field("retry-after"), field("connection")), (Some("2"), Some("close")));
    assert_eq!(serves.oneshot(request()).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(shutdown.in_flight(), 0);
}
