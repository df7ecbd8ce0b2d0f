//! The types that `main`, hooks and tasks may return.

use std::{convert::Infallible, fmt::Debug, process::ExitCode};

use crate::model::sanitize;

/// A type that `main`, `finalize`, `reload`, finalizers, periodic work and [`task`](crate::Shutdown::task)s may return.
///
/// | type | means |
/// |---|---|
/// | `()` | the code has ended |
/// | `Result<(), E>` with `E: Debug` | the code has ended, or failed. The error is printed, logged and reported |
/// | [`ExitCode`] | from `main`: the exit status, if nothing has failed. From other code it has no meaning |
/// | `!` | the code never ends |
///
/// # Example
///
/// ```
/// use std::io;
///
/// use graceful::Shutdown;
///
/// #[graceful::main]
/// async fn main(shutdown: Shutdown) -> Result<(), io::Error> {
///     let import = shutdown.task("import").spawn(import());
///     import.await.map_err(io::Error::other)?
/// }
///
/// async fn import() -> Result<(), io::Error> {
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a program can end with",
    label = "this returns `{Self}`",
    note = "return `()`, `Result<(), E>` with `E: Debug`, or, from `main`, `std::process::ExitCode`"
)]
pub trait Outcome {
    /// The error of a failure; [`Infallible`] if the type has none.
    type Error: Debug;

    /// Returns the error if this is a failure.
    fn error(&self) -> Option<&Self::Error>;

    /// Returns the exit status of a success, or the error.
    ///
    /// # Errors
    ///
    /// Returns the error if this is a failure.
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

/// `!`, which stable Rust can name only as the return type of a function.
type Never = <fn() -> ! as Returns>::Output;

/// Names the return type of a function pointer.
#[expect(unnameable_types, reason = "it only serves to name `!`")]
pub trait Returns {
    /// The return type.
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// The number of an exit code, which has no getter.
pub(crate) fn status(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&n| ExitCode::from(n) == code).unwrap_or(1)
}

/// The `Debug` text of an outcome's error, truncated, because a report may hold a thousand of them.
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
