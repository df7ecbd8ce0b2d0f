//! The number of a scope within its program.

/// The index of a scope in the scope tree. When a scope is removed, its number is used again.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ScopeId(pub(crate) usize);

impl ScopeId {
    /// The program itself.
    pub(crate) const PROGRAM: Self = Self(0);
}
