mod mine {
    pub mod door {
        pub use graceful::{Builder, Shutdown, Signal, main};
    }
}

#[mine::door::main(crate = crate::mine::door, signals = [TERM])]
async fn main(_: mine::door::Shutdown) {}

mod quoted {
    #[crate::mine::door::main(crate = "crate::mine::door")]
    pub async fn main() {}
}

const _: fn() -> std::process::ExitCode = quoted::main;
