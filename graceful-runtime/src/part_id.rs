//! The number of a part among those of its program.

/// The index of a part; given again once the part is gone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct PartId(pub(crate) usize);

impl PartId {
    /// The program itself.
    pub(crate) const PROGRAM: Self = Self(0);
}
