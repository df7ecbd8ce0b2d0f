//! Snapshots of the expansion, compared without white space.

use super::*;

#[track_caller]
fn expands(kind: Kind, args: &str, item: &str, expected: &str) {
    let found = attribute(kind, args.parse().unwrap(), item.parse().unwrap()).to_string();
    let expected: TokenStream = expected.parse().unwrap();
    let without_spaces = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(
        without_spaces(&found),
        without_spaces(&expected.to_string()),
        "\n found: {found}\n"
    );
}

#[test]
fn main_alone() {
    expands(
        Kind::Main,
        "",
        "async fn main() { serve().await; }",
        r#"
        fn main() -> ::std::process::ExitCode {
            async fn main() { serve().await; }
            ::graceful::Builder::new()
                .run(async |_: ::graceful::Shutdown| main().await)
        }
        "#,
    );
}

#[test]
fn main_with_the_state_and_three_arguments() {
    expands(
        Kind::Main,
        r#"timeout = "30s", signals = [TERM, INT, HUP], init = init, finalize = finalize"#,
        "/// Serves.
        async fn main(app: &App, shutdown: Shutdown) -> Result<(), Error> { serve(app, shutdown).await }",
        r#"
        fn main() -> ::std::process::ExitCode {
            /// Serves.
            async fn main(app: &App, shutdown: Shutdown) -> Result<(), Error> { serve(app, shutdown).await }
            ::graceful::Builder::new()
                .timeout(::core::time::Duration::new(30u64, 0u32))
                .signals([::graceful::Signal::TERM, ::graceful::Signal::INT, ::graceful::Signal::HUP])
                .init::<App, _, _>(init)
                .finalize(finalize)
                .run(async |app: &App, shutdown: ::graceful::Shutdown| main(app, shutdown).await)
        }
        "#,
    );
}

#[test]
fn a_state_by_value_is_cloned() {
    expands(
        Kind::Main,
        "init = app::init, crate = crate::graceful",
        "pub async fn main(App { db }: App, mut stop: Shutdown) -> ExitCode { stop.requested().await }",
        r#"
        pub fn main() -> ::std::process::ExitCode {
            async fn main(App { db }: App, mut stop: Shutdown) -> ExitCode { stop.requested().await }
            crate::graceful::Builder::new()
                .init::<App, _, _>(app::init)
                .run(async |app: &App, shutdown: crate::graceful::Shutdown|
                    main(::core::clone::Clone::clone(app), shutdown).await)
        }
        "#,
    );
}

#[test]
fn every_setter() {
    expands(
        Kind::Main,
        r#"timeout = "1m", finalize_timeout = "2s", lame_duck = "0s", init_timeout = "3.5s", restart_timeout = "4s",
            signals(force = [QUIT], stop = [], reload = [HUP, USR1]), init = init, finalize = end, reload = again,
            restart = handoff, readiness = manual, progress = false, env = "MYAPP", flavor = "multi_thread",
            worker_threads = 4, max_blocking_threads = 8, thread_name = "w", builder = tune"#,
        "async fn main(shutdown: Shutdown) {}",
        r#"
        fn main() -> ::std::process::ExitCode {
            async fn main(shutdown: Shutdown) {}
            ::graceful::Builder::new()
                .timeout(::core::time::Duration::new(60u64, 0u32))
                .finalize_timeout(::core::time::Duration::new(2u64, 0u32))
                .lame_duck(::core::time::Duration::new(0u64, 0u32))
                .init_timeout(::core::time::Duration::new(3u64, 500000000u32))
                .restart_timeout(::core::time::Duration::new(4u64, 0u32))
                .signals(::graceful::Signals::new()
                    .force([::graceful::Signal::QUIT])
                    .stop([])
                    .reload([::graceful::Signal::HUP, ::graceful::Signal::USR1]))
                .restart(::graceful::Restart::Handoff)
                .readiness(::graceful::Readiness::Manual)
                .progress(false)
                .env("MYAPP")
                .flavor(::graceful::Flavor::MultiThread)
                .worker_threads(4usize)
                .max_blocking_threads(8usize)
                .thread_name("w")
                .runtime(tune)
                .init(init)
                .reload(again)
                .finalize(end)
                .run(async |_: &_, shutdown: ::graceful::Shutdown| main(shutdown).await)
        }
        "#,
    );
}

#[test]
fn a_state_that_nothing_takes() {
    expands(
        Kind::Main,
        r#"init = init, signals = docker, env = false, flavor = "current_thread", start_paused = true"#,
        "async fn main() {}",
        r#"
        fn main() -> ::std::process::ExitCode {
            async fn main() {}
            ::graceful::Builder::new()
                .signals(::graceful::Signals::docker())
                .without_env()
                .flavor(::graceful::Flavor::CurrentThread)
                .start_paused(true)
                .init_unit(init)
                .run(async |_: &_, _: ::graceful::Shutdown| main().await)
        }
        "#,
    );
}

#[test]
fn a_test() {
    expands(
        Kind::Test,
        "",
        "#[ignore] #[allow(unused)] async fn drains(shutdown: Shutdown) -> Result<(), Error> { Ok(()) }",
        r#"
        #[::core::prelude::v1::test]
        #[ignore]
        fn drains() -> ::std::process::ExitCode {
            #[allow(unused)]
            async fn drains(shutdown: Shutdown) -> Result<(), Error> { Ok(()) }
            ::graceful::Builder::new()
                .test(async |shutdown: ::graceful::Shutdown| drains(shutdown).await)
        }
        "#,
    );
}

#[test]
fn a_test_that_should_panic_has_no_value() {
    expands(
        Kind::Test,
        "",
        "#[should_panic = \"x\"] async fn panics() { panic!(\"x\") }",
        r#"
        #[::core::prelude::v1::test]
        #[should_panic = "x"]
        fn panics() {
            async fn panics() { panic!("x") }
            let _: ::std::process::ExitCode = ::graceful::Builder::new()
                .test(async |_: ::graceful::Shutdown| panics().await);
        }
        "#,
    );
}

#[test]
fn after_an_error_the_function_is_still_emitted() {
    expands(
        Kind::Main,
        "timeout = 30",
        "#[cold] fn main(a: A, b: B) -> u8 { serve().await }",
        r#"
        ::core::compile_error! { "`30` has no unit, write `\"30s\"`" }
        ::core::compile_error! { "`main` must be `async`" }
        ::core::compile_error! { "without `init` there is no state, expected `main` to take only `Shutdown`" }
        #[allow(dead_code)]
        fn main() {
            #[cold]
            #[allow(dead_code)]
            async fn main(a: A, b: B) -> u8 { serve().await }
        }
        "#,
    );
}

#[test]
fn an_item_that_is_not_a_function_is_unchanged() {
    expands(
        Kind::Main,
        "",
        "struct Main;",
        r#"::core::compile_error! { "expected an `async fn`" } struct Main;"#,
    );
}
