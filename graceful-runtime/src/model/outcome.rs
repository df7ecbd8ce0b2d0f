//! What `main`, hooks and tasks may return.

use std::{convert::Infallible, fmt::Debug, process::ExitCode};

use crate::model::sanitize;

/// What `main`, `finalize`, `reload`, finalizers, periodic work and [`task`](crate::Shutdown::task)s may return.
///
/// | type | means |
/// |---|---|
/// | `()` | it ended |
/// | `Result<(), E>` with `E: Debug` | it ended, or failed; the error is printed, logged and reported |
/// | [`ExitCode`] | for `main`: the exit status of a stop in which nothing failed; anywhere else it means nothing |
/// | `!` | it never ends |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a program can end with",
    label = "this returns `{Self}`",
    note = "return `()`, `Result<(), E>` with `E: Debug`, or, from `main`, `std::process::ExitCode`"
)]
pub trait Outcome {
    /// What tells that it went wrong.
    type Error: Debug;

    /// The error, if this is one.
    fn error(&self) -> Option<&Self::Error>;

    /// The exit status of a success, or the error.
    ///
    /// # Errors
    ///
    /// The error that this outcome is.
    fn into_result(self) -> Result<ExitCode, Self::Error>;
}

#[diagnostic::do_not_recommend]
impl Outcome for () {
    type Error = Infallible;

    fn error(&self) -> Option<&Infallible> {
        None
    }

    fn into_result(self) -> Result<ExitCode, Infallible> {
        Ok(ExitCode::SUCCESS)
    }
}

#[diagnostic::do_not_recommend]
impl<E: Debug> Outcome for Result<(), E> {
    type Error = E;

    fn error(&self) -> Option<&E> {
        self.as_ref().err()
    }

    fn into_result(self) -> Result<ExitCode, E> {
        self.map(|()| ExitCode::SUCCESS)
    }
}

#[diagnostic::do_not_recommend]
impl Outcome for ExitCode {
    type Error = Infallible;

    fn error(&self) -> Option<&Infallible> {
        None
    }

    fn into_result(self) -> Result<ExitCode, Infallible> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl Outcome for Never {
    type Error = Infallible;

    fn error(&self) -> Option<&Infallible> {
        match *self {}
    }

    fn into_result(self) -> Result<ExitCode, Infallible> {
        match self {}
    }
}

/// `!`, which stable Rust can name only as what a function returns.
type Never = <fn() -> ! as Returns>::Output;

/// Reads the return type off a function pointer.
#[expect(unnameable_types, reason = "it only spells a type; nobody has a use for its name")]
pub trait Returns {
    /// What the function returns.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// The number in an exit code, which has no getter.
pub(crate) fn status(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&n| ExitCode::from(n) == code).unwrap_or(1)
}

/// The text of an outcome's error, as its `Debug` has it. It is cut, because a report may hold a thousand of them.
pub(crate) fn error_of<T: Outcome>(outcome: &T) -> Option<String> {
    outcome.error().map(|error| sanitize::raw(format_args!("{error:?}")).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_read_back() {
        for n in 0..=u8::MAX {
            assert_eq!(status(ExitCode::from(n)), n);
        }
    }

    #[test]
    fn an_async_closure_that_only_panics_is_an_outcome() {
        fn outcome<F: FnOnce() -> O, O: Future<Output: Outcome>>(_: F) {}
        outcome(async || panic!());
    }
}
