//! Checks between arguments. Each argument alone was checked when it was read.

use crate::{
    args::{Args, CURRENT_THREAD},
    budget::Budget,
    duration,
    entry::Kind,
    errors::Errors,
};

pub(crate) fn check(kind: Kind, args: &Args, errors: &mut Errors) {
    check_budget(args, errors);
    check_reload(args, errors);
    match kind {
        Kind::Main => check_runtime(args, errors),
        Kind::Test => check_test_runtime(args, errors),
    }
}

/// `finalize_timeout + lame_duck` must leave some of the `timeout` for the drain. The runtime checks this again, because the
/// environment can override each of the three.
fn check_budget(args: &Args, errors: &mut Errors) {
    let written = [
        ("timeout", args.timeout),
        ("finalize_timeout", args.finalize_timeout),
        ("lame_duck", args.lame_duck),
    ];
    // A wrong value has its own error.
    if written.iter().any(|(name, value)| args.has(name) && value.is_none()) {
        return;
    }
    let [timeout, finalize_timeout, lame_duck] =
        written.map(|(_, value)| value.map(|value| value.value));
    let budget = Budget::new(timeout, finalize_timeout, lame_duck);
    if budget.leaves_time_for_the_drain() {
        return;
    }
    let Some(last) = args.last_of(&written.map(|(name, _)| name)) else { return };
    let value = written.iter().find(|(name, _)| last == name).and_then(|(_, value)| *value);
    let [finalize_timeout, lame_duck, timeout] =
        [budget.finalize_timeout, budget.lame_duck, budget.timeout].map(duration::display);
    errors.at(
        value.map_or_else(|| last.span(), |value| value.span),
        format!(
            "expected `finalize_timeout` ({finalize_timeout}) and `lame_duck` ({lame_duck}) to be less than `timeout` \
             ({timeout}) together"
        ),
    );
}

/// A `reload` signal needs the hook, and the hook needs a signal with no other role.
fn check_reload(args: &Args, errors: &mut Errors) {
    let Some(signals) = &args.signals else { return };
    match signals.role("reload") {
        Some(list) if !list.signals.is_empty() && !args.has("reload") => {
            errors.at(
                list.role.span(),
                "there is no `reload` hook, expected `reload = path` beside `signals`",
            );
        }
        None if args.has("reload") => {
            let named = signals.named();
            if let Some((hup, role)) = named.iter().find(|(signal, _)| *signal == "HUP") {
                let message = format!(
                    "`HUP` has the role `{role}` and is the default for `reload`, name another with \
                     `signals(reload = […])`"
                );
                errors.at(hup.span(), message);
            }
        }
        _ => {}
    }
}

/// The checks of `tokio::main`.
fn check_runtime(args: &Args, errors: &mut Errors) {
    let flavor = args.flavor.map(|flavor| flavor.value);
    if args.has("flavor") && flavor.is_none() {
        return;
    }
    let current_thread = flavor == Some(CURRENT_THREAD);
    if let Some(threads) = args.worker_threads.filter(|_| current_thread) {
        errors.at(threads.span, "`worker_threads` needs `flavor = \"multi_thread\"`");
    }
    if let Some(paused) = args.start_paused.filter(|_| !current_thread) {
        errors.at(paused.span, "`start_paused` needs `flavor = \"current_thread\"`");
    }
}

fn check_test_runtime(args: &Args, errors: &mut Errors) {
    let multi_thread =
        args.flavor.filter(|flavor| flavor.value != CURRENT_THREAD).map(|flavor| flavor.span);
    let threads = args.worker_threads.map(|threads| threads.span);
    for span in [multi_thread, threads].into_iter().flatten() {
        errors.at(span, "a test runs on the current thread with a paused clock");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(kind: Kind, text: &str) -> Vec<String> {
        let mut errors = Errors::default();
        let args = Args::read(text.parse().unwrap(), &mut errors);
        check(kind, &args, &mut errors);
        errors.messages()
    }

    #[test]
    fn the_parts_must_leave_time_for_the_drain() {
        for text in [
            "",
            "timeout = \"1ms\"",
            "timeout = \"10s\", lame_duck = \"7s\"",
            "lame_duck = \"24999ms\"",
            "finalize_timeout = \"29s\"",
            "timeout = \"1h\", finalize_timeout = \"50s\", lame_duck = \"30s\"",
        ] {
            assert_eq!(messages(Kind::Main, text), [""; 0], "{text}");
        }
        for (text, values) in [
            ("finalize_timeout = \"30s\"", ["30s", "0s", "30s"]),
            ("lame_duck = \"25s\"", ["5s", "25s", "30s"]),
            ("lame_duck = \"8s\", timeout = \"10s\"", ["2s500ms", "8s", "10s"]),
            (
                "timeout = \"10s\", finalize_timeout = \"5s\", lame_duck = \"5s\"",
                ["5s", "5s", "10s"],
            ),
        ] {
            let [finalize_timeout, lame_duck, timeout] = values;
            let expected = format!(
                "expected `finalize_timeout` ({finalize_timeout}) and `lame_duck` ({lame_duck}) to be less than \
                 `timeout` ({timeout}) together"
            );
            assert_eq!(messages(Kind::Main, text), [expected], "{text}");
        }
    }

    #[test]
    fn a_wrong_value_has_no_echo() {
        assert_eq!(messages(Kind::Main, "timeout = \"30\", lame_duck = \"50s\"").len(), 1);
        assert_eq!(messages(Kind::Main, "flavor = \"x\", start_paused = true").len(), 1);
        assert_eq!(messages(Kind::Main, "signals(reload = [HUP]), reload = \"x\"").len(), 1);
    }

    #[test]
    fn reload_signals_need_the_hook() {
        let missing = "there is no `reload` hook, expected `reload = path` beside `signals`";
        assert_eq!(messages(Kind::Main, "signals(reload = [USR1])"), [missing]);
        assert_eq!(messages(Kind::Main, "signals(reload = [])"), [""; 0]);
        assert_eq!(messages(Kind::Main, "signals(reload = [USR1]), reload = reload"), [""; 0]);
    }

    #[test]
    fn hup_is_the_default_reload_signal() {
        for text in ["reload = r", "reload = r, signals = [TERM]", "reload = r, signals = docker"] {
            assert_eq!(messages(Kind::Main, text), [""; 0], "{text}");
        }
        assert_eq!(
            messages(Kind::Main, "reload = r, signals(stop = [HUP], reload = [USR1])"),
            [""; 0]
        );
        for (text, role) in [("signals = [TERM, HUP]", "stop"), ("signals(exit = [HUP])", "exit")] {
            let found = messages(Kind::Main, &format!("reload = r, {text}"));
            assert_eq!(found.len(), 1);
            assert!(
                found
                    .concat()
                    .starts_with(&format!("`HUP` has the role `{role}` and is the default")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn the_flavor_fits_as_with_tokio() {
        let current = |text| messages(Kind::Main, &format!("flavor = \"current_thread\", {text}"));
        assert_eq!(
            current("worker_threads = 2"),
            ["`worker_threads` needs `flavor = \"multi_thread\"`"]
        );
        assert_eq!(current("start_paused = true"), [""; 0]);
        assert_eq!(messages(Kind::Main, "worker_threads = 2"), [""; 0]);
        assert_eq!(
            messages(Kind::Main, "start_paused = true"),
            ["`start_paused` needs `flavor = \"current_thread\"`"]
        );
    }

    #[test]
    fn a_test_has_one_thread() {
        let expected = "a test runs on the current thread with a paused clock";
        assert_eq!(
            messages(Kind::Test, "flavor = \"multi_thread\", worker_threads = 2"),
            [expected; 2]
        );
        assert_eq!(
            messages(Kind::Test, "flavor = \"current_thread\", start_paused = true, env = false"),
            [""; 0]
        );
    }
}
