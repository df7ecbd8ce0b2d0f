//! The programs that leave. Each prints its port, or 0, once it listens.

use std::{convert::Infallible, error::Error, net, pin::pin, process::ExitCode, time::Duration};

use actix_web::{App, HttpServer, rt::System, web};
use axum::{
    Router,
    routing::{get, post},
    serve::ListenerExt,
};
use graceful::{Builder, Shutdown, http};
use graceful_tests::say;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    select,
    signal::unix::{SignalKind, signal},
};
use tokio_graceful::ShutdownGuard;
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};

use super::pages::{self, HELLO, UPLOADED, answer};

/// Name, and how it lives.
type Program = (&'static str, fn() -> ExitCode);

/// Those that do nothing.
pub(super) const IDLERS: [Program; 3] = [
    ("tokio", || with_tokio(returns_on_term)),
    ("graceful", || Builder::new().run(idle)),
    ("graceful + finalizer", || with_ours(idle)),
];

pub(super) const SERVERS: [Program; 7] = [
    ("graceful::http", || with_ours(on_ours)),
    ("axum", || with_tokio(async || on_axum(on_term()).await)),
    ("graceful + axum", || {
        with_ours(async |shutdown| on_axum(async move { shutdown.requested().await }).await)
    }),
    ("tokio-graceful-shutdown + axum", || with_tokio(on_subsystems)),
    ("hyper-util", || with_tokio(on_hyper_util)),
    ("tokio-graceful + hyper", || with_tokio(on_tokio_graceful)),
    ("actix-web", on_actix),
];

fn with_tokio(main: impl AsyncFnOnce()) -> ExitCode {
    Runtime::new().expect("a runtime").block_on(main());
    ExitCode::SUCCESS
}

/// With a cleanup step, as a real program has one.
fn with_ours(main: impl AsyncFnOnce(Shutdown)) -> ExitCode {
    Builder::new().run(async |shutdown| {
        shutdown.finalizer("last", async || ());
        main(shutdown).await;
    })
}

/// Listens for `TERM` from this call on.
fn on_term() -> impl Future<Output = ()> + Send {
    let mut term = signal(SignalKind::terminate()).expect("a handler");
    async move {
        term.recv().await;
    }
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    say(listener.local_addr().expect("it is bound").port());
    listener
}

async fn returns_on_term() {
    let told = on_term();
    say(0);
    told.await;
}

async fn idle(shutdown: Shutdown) {
    say(0);
    shutdown.requested().await;
}

fn routes() -> Router {
    Router::new()
        .route("/", get(async || HELLO))
        .route("/second", get(pages::second))
        .route("/upload", post(async |_body: String| UPLOADED))
}

async fn on_ours(shutdown: Shutdown) {
    http::serve(listen().await, routes(), &shutdown).await.expect("it serves");
}

async fn on_axum(told: impl Future<Output = ()> + Send + 'static) {
    // As ours does by itself: otherwise answers of HTTP/2 wait for the peer's delayed acknowledgements.
    let listener = listen().await.tap_io(|socket| socket.set_nodelay(true).expect("a socket"));
    axum::serve(listener, routes()).with_graceful_shutdown(told).await.expect("it serves");
}

/// As in its example: the server is a subsystem.
async fn on_subsystems() {
    type Failure = Box<dyn Error + Send + Sync>;
    let serve = async |handle: &mut SubsystemHandle| {
        let told = handle.create_cancellation_token();
        on_axum(async move { told.cancelled().await }).await;
        Ok::<_, Infallible>(())
    };
    Toplevel::<Failure>::new(async move |root: &mut SubsystemHandle| {
        root.start(SubsystemBuilder::new("serve", serve));
    })
    .catch_signals()
    .handle_shutdown_requests(Duration::from_secs(60))
    .await
    .expect("nothing fails");
}

/// As in its example.
async fn on_hyper_util() {
    let mut told = pin!(on_term());
    let listener = listen().await;
    let graceful = GracefulShutdown::new();
    loop {
        select! {
            accepted = listener.accept() => {
                let socket = TokioIo::new(accepted.expect("a connection").0);
                let connection = http1::Builder::new().serve_connection(socket, service_fn(answer));
                tokio::spawn(graceful.watch(connection));
            }
            () = &mut told => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// As in its example.
async fn on_tokio_graceful() {
    let shutdown = tokio_graceful::Shutdown::new(on_term());
    shutdown.spawn_task_fn(async |shutdown: ShutdownGuard| {
        let listener = listen().await;
        loop {
            select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => {
                    let (socket, _) = accepted.expect("a connection");
                    shutdown.spawn_task_fn(async |guard: ShutdownGuard| {
                        serve(socket, guard.cancelled()).await;
                    });
                }
            }
        }
    });
    shutdown.shutdown_with_limit(Duration::from_secs(60)).await.expect("it ends");
}

/// Once told, the connection ends with the request that is in flight.
async fn serve(socket: TcpStream, told: impl Future<Output = ()>) {
    let builder = http1::Builder::new();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service_fn(answer)));
    select! {
        // A client that goes away is none of ours.
        _ended = connection.as_mut() => return,
        () = told => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// It listens for `TERM` itself, as soon as it serves.
fn on_actix() -> ExitCode {
    let routes = || {
        App::new()
            .route("/", web::get().to(async || HELLO))
            .route("/second", web::get().to(pages::second))
            .route("/upload", web::post().to(async |_body: String| UPLOADED))
    };
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
    say(listener.local_addr().expect("it is bound").port());
    let server = HttpServer::new(routes).listen(listener).expect("it is bound");
    System::new().block_on(server.run()).expect("it serves");
    ExitCode::SUCCESS
}
