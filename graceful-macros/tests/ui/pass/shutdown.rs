use graceful::Shutdown;

/// The body may hold what is not `Send`.
#[graceful::main]
async fn main(mut shutdown: Shutdown) {
    let local = std::rc::Rc::new(());
    shutdown = shutdown.clone();
    shutdown.request("done");
    shutdown.requested().await;
    drop(local);
}
