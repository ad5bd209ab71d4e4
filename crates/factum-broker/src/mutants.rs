//! Versions of the broker that are broken on purpose: the simulation must notice each of them.
//!
//! Without the feature `mutants` there is only the sound one, and the compiler removes the rest.

/// What is broken.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokerMutant {
    /// Nothing.
    #[default]
    None,
    /// The log below.
    #[cfg(feature = "mutants")]
    Log(factum_log::Mutant),
    /// Opening does not compute who has written what.
    #[cfg(feature = "mutants")]
    ForgottenProducers,
    /// Compaction removes batches of which something must stay.
    #[cfg(feature = "mutants")]
    GreedyCompaction,
    /// A deletion of records is answered before it is decided durably, and made.
    #[cfg(feature = "mutants")]
    HastyDeletion,
    /// Markers count before they are durable.
    #[cfg(feature = "mutants")]
    HastyMarkers,
    /// Readers are not told what was aborted.
    #[cfg(feature = "mutants")]
    ForgottenAborts,
    /// Opening leaves transactions as they are that were decided and are not done.
    #[cfg(feature = "mutants")]
    UnfinishedTransactions,
}

impl BrokerMutant {
    pub(crate) const fn of_log(self) -> factum_log::Mutant {
        match self {
            #[cfg(feature = "mutants")]
            Self::Log(mutant) => mutant,
            _ => factum_log::Mutant::None,
        }
    }

    pub(crate) const fn remembers_producers(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::ForgottenProducers => false,
            _ => true,
        }
    }

    pub(crate) const fn keeps_the_last(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::GreedyCompaction => false,
            _ => true,
        }
    }

    pub(crate) const fn waits_for_cuts(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::HastyDeletion => false,
            _ => true,
        }
    }

    pub(crate) const fn waits_for_markers(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::HastyMarkers => false,
            _ => true,
        }
    }

    pub(crate) const fn tells_aborts(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::ForgottenAborts => false,
            _ => true,
        }
    }

    pub(crate) const fn completes_transactions(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Self::UnfinishedTransactions => false,
            _ => true,
        }
    }
}
