//! The arguments of the attribute, as the user wrote them.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{Ident, Path, ext::IdentExt, parse::ParseStream};

use crate::{
    duration,
    errors::Errors,
    list,
    signals::{self, Signals},
    suggest,
    value::{self, Choice, Env, Spanned},
};

/// The values, with their spans. `None` means that an argument is not written or has a wrong value. The defaults are the runtime's.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) finalize_timeout: Option<Spanned<Duration>>,
    pub(crate) lame_duck: Option<Spanned<Duration>>,
    pub(crate) init_timeout: Option<Spanned<Duration>>,
    pub(crate) restart_timeout: Option<Spanned<Duration>>,
    pub(crate) signals: Option<Signals>,
    pub(crate) init: Option<Path>,
    pub(crate) finalize: Option<Path>,
    pub(crate) reload: Option<Path>,
    pub(crate) restart: Option<Spanned<&'static str>>,
    pub(crate) readiness: Option<Spanned<&'static str>>,
    pub(crate) progress: Option<Spanned<bool>>,
    pub(crate) env: Option<Spanned<Env>>,
    pub(crate) flavor: Option<Spanned<&'static str>>,
    pub(crate) worker_threads: Option<Spanned<usize>>,
    pub(crate) max_blocking_threads: Option<Spanned<usize>>,
    pub(crate) thread_name: Option<Spanned<String>>,
    pub(crate) start_paused: Option<Spanned<bool>>,
    pub(crate) builder: Option<Path>,
    pub(crate) krate: Option<Path>,
    /// The names in the order of the source, including those with a wrong value.
    written: Vec<Ident>,
}

impl Args {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        list::separated_tokens(tokens, errors, |input, errors| args.read_argument(input, errors));
        args
    }

    /// Whether the argument is written, with a right or a wrong value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.written.iter().any(|written| written == name)
    }

    /// The one of `names` that is written last.
    pub(crate) fn last_of(&self, names: &[&str]) -> Option<&Ident> {
        self.written.iter().rev().find(|written| names.iter().any(|name| written == name))
    }

    fn read_argument(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let name = input
            .call(Ident::parse_any)
            .map_err(|_| input.error("expected an argument, such as `timeout = \"30s\"`"))?;
        let key = name.to_string();
        if !NAMES.contains(&key.as_str()) {
            return Err(syn::Error::new(name.span(), suggest::unknown("argument", &key, NAMES)));
        }
        if self.has(&key) {
            return Err(syn::Error::new(name.span(), format!("`{key}` is written twice")));
        }
        self.written.push(name.clone());
        if key == "signals" {
            self.signals = Some(signals::read(input, &name, errors)?);
            return Ok(());
        }
        value::equals(input, &name)?;
        self.read_value(&key, input)
    }

    fn read_value(&mut self, name: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match name {
            "timeout" => self.timeout = Some(duration::read(input)?),
            "finalize_timeout" => self.finalize_timeout = Some(duration::read(input)?),
            "lame_duck" => self.lame_duck = Some(duration::read_or_zero(input)?),
            "init_timeout" => self.init_timeout = Some(duration::read(input)?),
            "restart_timeout" => self.restart_timeout = Some(duration::read(input)?),
            "init" => self.init = Some(value::function(input)?),
            "finalize" => self.finalize = Some(value::function(input)?),
            "reload" => self.reload = Some(value::function(input)?),
            "restart" => self.restart = Some(value::word(input, RESTARTS)?),
            "readiness" => self.readiness = Some(value::word(input, READINESSES)?),
            "progress" => self.progress = Some(value::boolean(input)?),
            "env" => self.env = Some(value::env(input)?),
            "flavor" => self.flavor = Some(value::quoted_word(input, FLAVORS)?),
            "worker_threads" => self.worker_threads = Some(value::count(input)?),
            "max_blocking_threads" => self.max_blocking_threads = Some(value::count(input)?),
            "thread_name" => self.thread_name = Some(value::text(input)?),
            "start_paused" => self.start_paused = Some(value::boolean(input)?),
            "builder" => self.builder = Some(value::function(input)?),
            "crate" => self.krate = Some(value::krate(input)?),
            // Not reached: `NAMES` has no other names, as a test checks.
            _ => return Err(input.error("expected another argument")),
        }
        Ok(())
    }
}

/// All arguments, in the order of the documentation.
const NAMES: &[&str] = &[
    "timeout",
    "finalize_timeout",
    "lame_duck",
    "init_timeout",
    "signals",
    "init",
    "finalize",
    "reload",
    "restart_timeout",
    "restart",
    "readiness",
    "progress",
    "env",
    "flavor",
    "worker_threads",
    "max_blocking_threads",
    "thread_name",
    "start_paused",
    "builder",
    "crate",
];

const RESTARTS: &[Choice] = &[("auto", "Auto"), ("handoff", "Handoff"), ("exec", "Exec")];
const READINESSES: &[Choice] = &[("auto", "Auto"), ("manual", "Manual")];
const FLAVORS: &[Choice] = &[("multi_thread", "MultiThread"), ("current_thread", CURRENT_THREAD)];

/// The variant of `Flavor` that some arguments require.
pub(crate) const CURRENT_THREAD: &str = "CurrentThread";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let mut errors = Errors::default();
        Args::read(text.parse().unwrap(), &mut errors);
        errors.messages()
    }

    #[test]
    fn every_argument_is_read() {
        let text = r#"timeout = "30s", finalize_timeout = "5s", lame_duck = "0s", init_timeout = "1m", signals = [TERM],
            init = init, finalize = app::finalize, reload = reload, restart_timeout = "1s", restart = exec,
            readiness = manual, progress = false, env = "MYAPP", flavor = "multi_thread", worker_threads = 4,
            max_blocking_threads = 8, thread_name = "w", start_paused = true, builder = build, crate = crate::g,"#;
        let mut errors = Errors::default();
        let args = Args::read(text.parse().unwrap(), &mut errors);
        assert_eq!(errors.messages(), [""; 0]);
        assert_eq!(args.written.iter().map(ToString::to_string).collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn an_argument_is_written_once_with_a_value() {
        assert_eq!(messages("timeout = \"1s\", timeout = \"2s\""), ["`timeout` is written twice"]);
        for text in [
            "progress",
            "progress =",
            "progress: false",
            "progress(false)",
            "progress =, env = false",
        ] {
            assert_eq!(messages(text), ["expected `progress = …`"], "{text}");
        }
        assert_eq!(messages("\"30s\""), ["expected an argument, such as `timeout = \"30s\"`"]);
    }

    #[test]
    fn the_nearest_argument_is_suggested_for_an_unknown_one() {
        let message = messages("signal = [TERM]").remove(0);
        assert!(message.starts_with(
            "unknown argument `signal`, did you mean `signals`?\nexpected one of `timeout`, "
        ));
    }

    #[test]
    fn all_mistakes_are_found() {
        let found =
            messages("timeout = 30, grace = 1, init = init(), env = true, lame_duck = \"5\" \"6\"");
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn the_last_of_some_names_is_found() {
        let args = Args::read(
            "lame_duck = \"1s\", timeout = \"x\", env = false".parse().unwrap(),
            &mut Errors::default(),
        );
        assert_eq!(args.last_of(&["timeout", "lame_duck"]).unwrap(), "timeout");
        assert!(args.has("timeout") && args.timeout.is_none());
        assert!(args.last_of(&["init"]).is_none());
    }
}
