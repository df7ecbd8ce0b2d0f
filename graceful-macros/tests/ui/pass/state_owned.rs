use graceful::Shutdown;

mod app {
    #[derive(Clone)]
    pub struct App<T> {
        pub value: T,
    }

    pub async fn init() -> App<u8> {
        App { value: 1 }
    }
}

#[graceful::main(init = app::init)]
async fn main(app::App { value }: app::App<u8>, shutdown: Shutdown) {
    assert_eq!(value, 1);
    shutdown.request("done");
}
