//! Which APIs this codec knows, in which versions, and what a broker advertises.

use std::fmt;
use std::ops::RangeInclusive;

use crate::codec::{Form, Wire};
use crate::messages::*;
use crate::reader::{DecodeError, Problem, Reader};
use crate::writer::{EncodeError, Writer};

/// Hands the table of APIs to the macro `$then`.
///
/// One row per API: name, number, versions, first flexible version, request, response. Whatever
/// must exist for every API (the numbers, the traits, the tests) expands from this table, so that
/// none can be forgotten.
#[doc(hidden)]
#[macro_export]
macro_rules! api_table {
    ($then:ident) => {
        $then! {
            Produce = 0, 3..=13, flexible 9, ProduceRequest, ProduceResponse;
            Fetch = 1, 4..=18, flexible 12, FetchRequest, FetchResponse;
            ListOffsets = 2, 1..=11, flexible 6, ListOffsetsRequest, ListOffsetsResponse;
            Metadata = 3, 0..=13, flexible 9, MetadataRequest, MetadataResponse;
            OffsetCommit = 8, 2..=10, flexible 8, OffsetCommitRequest, OffsetCommitResponse;
            OffsetFetch = 9, 1..=10, flexible 6, OffsetFetchRequest, OffsetFetchResponse;
            FindCoordinator = 10, 0..=6, flexible 3, FindCoordinatorRequest, FindCoordinatorResponse;
            JoinGroup = 11, 0..=9, flexible 6, JoinGroupRequest, JoinGroupResponse;
            Heartbeat = 12, 0..=4, flexible 4, HeartbeatRequest, HeartbeatResponse;
            LeaveGroup = 13, 0..=5, flexible 4, LeaveGroupRequest, LeaveGroupResponse;
            SyncGroup = 14, 0..=5, flexible 4, SyncGroupRequest, SyncGroupResponse;
            DescribeGroups = 15, 0..=6, flexible 5, DescribeGroupsRequest, DescribeGroupsResponse;
            ListGroups = 16, 0..=5, flexible 3, ListGroupsRequest, ListGroupsResponse;
            // SaslHandshake never became flexible.
            SaslHandshake = 17, 0..=1, flexible 32767, SaslHandshakeRequest, SaslHandshakeResponse;
            ApiVersions = 18, 0..=5, flexible 3, ApiVersionsRequest, ApiVersionsResponse;
            CreateTopics = 19, 2..=7, flexible 5, CreateTopicsRequest, CreateTopicsResponse;
            DeleteTopics = 20, 1..=6, flexible 4, DeleteTopicsRequest, DeleteTopicsResponse;
            DeleteRecords = 21, 0..=2, flexible 2, DeleteRecordsRequest, DeleteRecordsResponse;
            InitProducerId = 22, 0..=5, flexible 2, InitProducerIdRequest, InitProducerIdResponse;
            OffsetForLeaderEpoch = 23, 2..=4, flexible 4, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            AddPartitionsToTxn = 24, 0..=5, flexible 3, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
            AddOffsetsToTxn = 25, 0..=4, flexible 3, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
            EndTxn = 26, 0..=5, flexible 3, EndTxnRequest, EndTxnResponse;
            WriteTxnMarkers = 27, 1..=2, flexible 1, WriteTxnMarkersRequest, WriteTxnMarkersResponse;
            TxnOffsetCommit = 28, 0..=5, flexible 3, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
            DescribeAcls = 29, 1..=3, flexible 2, DescribeAclsRequest, DescribeAclsResponse;
            CreateAcls = 30, 1..=3, flexible 2, CreateAclsRequest, CreateAclsResponse;
            DeleteAcls = 31, 1..=3, flexible 2, DeleteAclsRequest, DeleteAclsResponse;
            DescribeConfigs = 32, 1..=4, flexible 4, DescribeConfigsRequest, DescribeConfigsResponse;
            AlterConfigs = 33, 0..=2, flexible 2, AlterConfigsRequest, AlterConfigsResponse;
            DescribeLogDirs = 35, 1..=5, flexible 2, DescribeLogDirsRequest, DescribeLogDirsResponse;
            SaslAuthenticate = 36, 0..=2, flexible 2, SaslAuthenticateRequest, SaslAuthenticateResponse;
            CreatePartitions = 37, 0..=3, flexible 2, CreatePartitionsRequest, CreatePartitionsResponse;
            DeleteGroups = 42, 0..=2, flexible 2, DeleteGroupsRequest, DeleteGroupsResponse;
            ElectLeaders = 43, 0..=2, flexible 2, ElectLeadersRequest, ElectLeadersResponse;
            IncrementalAlterConfigs = 44, 0..=1, flexible 1, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            AlterPartitionReassignments = 45, 0..=1, flexible 0, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
            ListPartitionReassignments = 46, 0..=0, flexible 0, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
            // OffsetDelete never became flexible.
            OffsetDelete = 47, 0..=0, flexible 32767, OffsetDeleteRequest, OffsetDeleteResponse;
            DescribeClientQuotas = 48, 0..=1, flexible 1, DescribeClientQuotasRequest, DescribeClientQuotasResponse;
            AlterClientQuotas = 49, 0..=1, flexible 1, AlterClientQuotasRequest, AlterClientQuotasResponse;
            DescribeUserScramCredentials = 50, 0..=0, flexible 0, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
            AlterUserScramCredentials = 51, 0..=0, flexible 0, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
            DescribeQuorum = 55, 0..=2, flexible 0, DescribeQuorumRequest, DescribeQuorumResponse;
            UpdateFeatures = 57, 0..=2, flexible 0, UpdateFeaturesRequest, UpdateFeaturesResponse;
            DescribeCluster = 60, 0..=2, flexible 0, DescribeClusterRequest, DescribeClusterResponse;
            DescribeProducers = 61, 0..=0, flexible 0, DescribeProducersRequest, DescribeProducersResponse;
            DescribeTransactions = 65, 0..=0, flexible 0, DescribeTransactionsRequest, DescribeTransactionsResponse;
            ListTransactions = 66, 0..=2, flexible 0, ListTransactionsRequest, ListTransactionsResponse;
            ConsumerGroupHeartbeat = 68, 0..=1, flexible 0, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe = 69, 0..=1, flexible 0, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            ListConfigResources = 74, 0..=1, flexible 0, ListConfigResourcesRequest, ListConfigResourcesResponse;
            DescribeTopicPartitions = 75, 0..=0, flexible 0, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
        }
    };
}

macro_rules! define_apis {
    ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal,
        $request:ident, $response:ident;)*) => {
        /// The number of an API that this codec knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ApiKey {
            $( #[doc = concat!("API ", $key, ".")] $name = $key, )*
        }

        impl ApiKey {
            /// Every known API, in the order of their numbers.
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// Kafka's name of the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )* }
            }

            /// The versions that this codec reads and writes.
            #[must_use]
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self { $( Self::$name => $versions, )* }
            }

            /// The first version with compact lengths and tagged fields (KIP-482).
            #[must_use]
            pub const fn flexible_from(self) -> i16 {
                match self { $( Self::$name => $flexible, )* }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = UnknownApi;

            fn try_from(key: i16) -> Result<Self, UnknownApi> {
                match key {
                    $( $key => Ok(Self::$name), )*
                    _ => Err(UnknownApi(key)),
                }
            }
        }

        $(
            define_apis!(@message $name $request);

            impl Request for $request {
                type Response = $response;
            }

            define_apis!(@message $name $response);

            impl Response for $response {}
        )*
    };

    (@message $name:ident $message:ident) => {
        impl Message for $message {
            const KEY: ApiKey = ApiKey::$name;

            #[cfg(any(test, feature = "sample"))]
            fn sample(dice: &mut crate::sample::Dice, version: i16) -> Self {
                crate::sample::Sample::sample(dice, Self::KEY.form(version))
            }
        }
    };
}

api_table!(define_apis);

/// A number that belongs to no API of this codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("API {0} is unknown here: ask ApiVersions which ones are served")]
pub struct UnknownApi(pub i16);

impl ApiKey {
    /// Whether `version` is among [`Self::versions`].
    #[must_use]
    pub fn supports(self, version: i16) -> bool {
        self.versions().contains(&version)
    }

    /// Whether `version` has compact lengths and tagged fields.
    #[must_use]
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// The versions that a broker tells clients.
    ///
    /// Produce begins at 0 although 0 to 2 are refused: librdkafka otherwise turns off
    /// compression and newer batches (KAFKA-18659).
    #[must_use]
    pub const fn advertised(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 0..=*self.versions().end(),
            _ => self.versions(),
        }
    }

    fn form(self, version: i16) -> Form {
        Form { version, flexible: self.is_flexible(version), nullable: false }
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> Self {
        key as Self
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The list for an ApiVersions response that serves every API of this codec.
#[must_use]
pub fn advertised() -> Vec<ApiVersion> {
    let row = |&key: &ApiKey| ApiVersion {
        api_key: key.into(),
        min_version: *key.advertised().start(),
        max_version: *key.advertised().end(),
    };
    ApiKey::ALL.iter().map(row).collect()
}

/// A request or a response.
#[allow(private_bounds)] // how fields are encoded is this crate's own business
pub trait Message: Wire + Default + Clone + PartialEq + fmt::Debug + Send + 'static {
    /// The API that the message belongs to.
    const KEY: ApiKey;

    /// A random message of `version`, for tests.
    #[cfg(any(test, feature = "sample"))]
    fn sample(dice: &mut crate::sample::Dice, version: i16) -> Self;

    /// Writes the message in `version`; a mistake is reported by [`Writer::finish`].
    fn encode(&self, writer: &mut Writer, version: i16) {
        if Self::KEY.supports(version) {
            self.write(writer, Self::KEY.form(version));
        } else {
            let (message, versions) = (Self::KEY.name(), Self::KEY.versions());
            let (min, max) = (*versions.start(), *versions.end());
            writer.fail(EncodeError::UnsupportedVersion { message, version, min, max });
        }
    }

    /// Reads a message of `version`, which must take all that `reader` has left.
    ///
    /// # Errors
    /// If the bytes are not that message, naming the field.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        let message = Self::decode_first(reader, version)?;
        reader.finish()?;
        Ok(message)
    }

    /// Reads a message of `version`, and leaves what follows it: Apache Kafka does so with
    /// requests, and librdkafka 2.x relies on it (three bytes follow its Metadata 9 and later for
    /// all topics).
    ///
    /// # Errors
    /// If the bytes do not begin with that message, naming the field.
    fn decode_first(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::KEY.supports(version) {
            let (min, max) = (*Self::KEY.versions().start(), *Self::KEY.versions().end());
            let problem = Problem::UnsupportedVersion { version, min, max };
            return Err(reader.at(Self::KEY.name()).error(problem));
        }
        Self::read(reader, Self::KEY.form(version))
    }
}

/// What a client sends.
pub trait Request: Message {
    /// What it gets back.
    type Response: Response;
}

/// What a broker answers.
pub trait Response: Message {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_its_api_and_no_other() {
        for &key in ApiKey::ALL {
            assert_eq!(ApiKey::try_from(i16::from(key)), Ok(key));
        }
        let known = (i16::MIN..=i16::MAX).filter(|&key| ApiKey::try_from(key).is_ok()).count();
        assert_eq!(known, ApiKey::ALL.len());
        assert_eq!(ApiKey::try_from(38), Err(UnknownApi(38)));
    }

    #[test]
    fn produce_is_advertised_from_0_though_served_from_3() {
        let produce = advertised()[0].clone();
        assert_eq!((produce.api_key, produce.min_version, produce.max_version), (0, 0, 13));
        assert!(!ApiKey::Produce.supports(2));
        assert!(ApiKey::Produce.supports(3));
    }

    #[test]
    fn what_is_advertised_is_served_except_old_produce() {
        for row in advertised() {
            let key = ApiKey::try_from(row.api_key).expect("own key");
            assert!(key.supports(row.max_version) && !key.supports(row.max_version + 1), "{key}");
            assert!(key == ApiKey::Produce || key.supports(row.min_version), "{key}");
        }
    }
}
