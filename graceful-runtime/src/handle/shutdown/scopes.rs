//! Scopes.

use std::sync::Arc;

use crate::{handle::shutdown::Shutdown, model::sanitize};

/// Scopes, which have a drain of their own.
impl Shutdown {
    /// Creates a scope of the program, or on a scope's handle a scope inside that scope.
    ///
    /// A scope is asked to stop when its parent is, or after the scopes that [`after`](Self::after) names. On its handle,
    /// `requested`, `token`, `try_guard`, `in_flight` and `drained` are the scope's own; the phase and the finalizers are the
    /// program's.
    ///
    /// Each call creates a new scope, and names need not differ. A scope is gone, and its memory is used again, once its last
    /// handle is dropped and no work is in flight in it. So a program can have one for each session or tenant: creating and
    /// dropping a scope takes less than a microsecond, and a scope takes 2 KiB while it lives (on a machine with two cores; each
    /// further core adds 256 bytes).
    ///
    /// ```
    /// # fn f(shutdown: graceful::Shutdown) {
    /// let intake = shutdown.scope("intake");
    /// let workers = shutdown.scope("workers").after(&intake); // asked to stop once the intake has drained
    /// # }
    /// ```
    ///
    /// One session ends while the program runs on:
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let session = shutdown.scope("session");
    /// let reader = session.clone();
    /// session.spawn(async move { reader.requested().await });
    /// session.request("logged out");
    /// session.drained().await;
    /// assert!(!shutdown.is_requested());
    /// # });
    /// ```
    #[must_use]
    pub fn scope(&self, name: impl Into<String>) -> Self {
        Self { target: self.target.scope(name.into()) }
    }

    /// Delays the stop of this scope until `other` has drained.
    ///
    /// `other` may be the handle of the whole program: this scope is then asked to stop once `main` and all work outside of scopes
    /// have ended. An `other` that is [gone](Self::scope) delays nothing.
    ///
    /// Call this before [`token`](Self::token): a token that was taken before is cancelled with the parent of this scope.
    ///
    /// # Panics
    ///
    /// If the order would be circular, or if `other` belongs to another program.
    #[must_use]
    pub fn after(self, other: &Self) -> Self {
        assert!(
            Arc::ptr_eq(&self.target.program, &other.target.program),
            "`after` takes a scope of the same program"
        );
        match self.target.program.tracker.order(self.target.scope, other.target.scope) {
            Ok(()) => self,
            Err((scope, other)) => {
                let (scope, other) = (sanitize::name(scope), sanitize::name(other));
                panic!(
                    "the scope `{scope}` cannot drain after `{other}`, which waits for it: the order is a circle"
                )
            }
        }
    }

    /// Waits until this scope was asked to stop and no work is in flight in it. On the program's handle it waits for the program.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # graceful::Builder::new().test(async |shutdown| {
    /// let tenant = shutdown.scope("tenant");
    /// tenant.spawn(async { /* the tenant's last job */ });
    /// tenant.request("the tenant has moved");
    /// tenant.drained().await;
    /// assert_eq!(tenant.in_flight(), 0);
    /// # });
    /// ```
    pub async fn drained(&self) {
        let mut changes = self.target.program.tracker.changes(self.target.scope);
        while !self.target.program.tracker.is_drained(self.target.scope) {
            // This cannot fail: the sender is in the scope, which this handle keeps.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
