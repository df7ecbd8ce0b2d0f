//! The service that the files in this folder deploy. `README.md` in this folder says which of their numbers follows from which argument.
//!
//! ```text
//! $ cargo run -p graceful-examples --bin service
//! $ curl -i 127.0.0.1:8080/readyz      # 200
//! $ kill -TERM $(pidof service)
//! $ curl -i 127.0.0.1:8080/readyz      # 503 for five seconds, while / is still answered; then refused
//! ```
//!
//! `ADDRESS` sets an address other than `0.0.0.0:8080`.

use std::env;

use axum::{Router, routing::get};
use graceful::{Shutdown, http};

#[graceful::main(timeout = "30s", lame_duck = "5s")]
async fn main(shutdown: Shutdown) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_ansi(false).init(); // the same output in a terminal and in a log file
    let health = http::health(&shutdown);
    let routes = Router::new()
        .route("/", get(async || "hello\n"))
        .route_service("/livez", health.clone()) // 200 for as long as the program answers
        .route_service("/readyz", health); // 503 once the lame duck has begun
    let address = env::var("ADDRESS").unwrap_or_else(|_| "0.0.0.0:8080".to_owned());
    let listener = shutdown.listen("http", address).await?;
    Ok(http::serve(listener, routes, &shutdown).await?)
}
