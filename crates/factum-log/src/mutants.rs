//! Versions of the log that are broken on purpose: the simulation must notice each of them.
//!
//! Without the feature `mutants` there is only the sound one, and the compiler removes the rest.

/// What is broken.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutant {
    /// Nothing.
    #[default]
    None,
    /// The writer answers without having flushed.
    #[cfg(feature = "mutants")]
    NoFlush,
    /// Opening takes a group by its header, without a look at its batches.
    #[cfg(feature = "mutants")]
    NoTornTailCheck,
}

impl Mutant {
    /// Whether groups are flushed.
    pub(crate) const fn flushes(self) -> bool {
        match self {
            Self::None => true,
            #[cfg(feature = "mutants")]
            Self::NoFlush => false,
            #[cfg(feature = "mutants")]
            Self::NoTornTailCheck => true,
        }
    }

    /// Whether opening reads the batches of the last journal.
    pub(crate) const fn checks_torn_tail(self) -> bool {
        match self {
            Self::None => true,
            #[cfg(feature = "mutants")]
            Self::NoFlush => true,
            #[cfg(feature = "mutants")]
            Self::NoTornTailCheck => false,
        }
    }
}
