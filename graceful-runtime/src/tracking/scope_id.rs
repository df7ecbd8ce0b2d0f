//! The number of a scope among those of its program.

/// The index of a scope; given again once the scope is gone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ScopeId(pub(crate) usize);

impl ScopeId {
    /// The program itself.
    pub(crate) const PROGRAM: Self = Self(0);
}
