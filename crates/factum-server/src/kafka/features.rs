//! The features that are in use (KIP-584), which a version of Factum has or has not: clients read
//! them, and change none.

/// A feature in use.
pub(super) struct Finalized {
    /// Its name, of Kafka's.
    pub(super) name: &'static str,
    /// The level of it that is in use.
    pub(super) level: i16,
}

/// Every feature in use.
/// * Groups: 1 has the consumer protocol of KIP-848; clients go by the API keys, tools by this.
/// * Transactions: 2 are the rules of KIP-890, which clients follow only where they are told to.
pub(super) const FINALIZED: &[Finalized] = &[
    Finalized { name: "group.version", level: 1 },
    Finalized { name: "transaction.version", level: 2 },
];
