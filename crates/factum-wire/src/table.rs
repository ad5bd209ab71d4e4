//! The language in which messages are written: one table per structure.
//!
//! ```text
//! message! {
//!     /// A topic to fetch.
//!     pub struct FetchTopic {
//!         /// Its name.
//!         topic: Str [0..=12];                        // only up to version 12
//!         /// Its id.
//!         topic_id: Uuid [13..];                      // from version 13 on
//!         /// Its partitions.
//!         partitions: Vec<FetchPartition> [0..];      // structures nest
//!         /// The node's rack.
//!         rack: Option<Str> [1..] null [3..];         // null from version 3 on
//!         /// The epoch of the leader.
//!         leader_epoch: i32 [7..] = -1;               // a default other than zero or empty
//!         /// The cluster's id.
//!         cluster_id: Option<Str> [12..] tag 0;       // a tagged field
//!     }
//! }
//! ```
//!
//! * The type says how a field is encoded ([`crate::codec`]). `Option` makes it nullable, in all
//!   versions of the field unless `null` says in which. A structure that may be null needs
//!   [`crate::codec::nullable`] besides.
//! * A field that a version lacks is left out on encoding, and has its default after decoding.
//! * Tagged fields stand in rising order of their tags. One that holds its default is left out:
//!   librdkafka up to 2.0.2 misreads tags that it has to skip.
//! * From which version on a message is flexible stands in the table of APIs ([`crate::api`]),
//!   which also ties the outermost structures to their API.
//!
//! The expansion is the struct with public fields, `Default`, [`crate::codec::Wire`], and for
//! tests a generator of random values ([`crate::sample`]).

/// Expands tables as the module's head describes.
macro_rules! message {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_about:meta])*
                $field:ident: $type:ty [$versions:expr]
                    $(null [$null:expr])? $(tag $tag:literal)? $(= $default:expr)?;
            )*
        }
    )*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$field_about])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: message!(@default $type $(, $default)?), )* }
            }
        }

        impl $crate::codec::Wire for $name {
            #[allow(unused_mut)] // a structure without tagged fields
            fn write(&self, writer: &mut $crate::Writer, form: $crate::codec::Form) {
                $( message!(@untagged [$($tag)?] if ($versions).contains(&form.version) {
                    let form = message!(@form form $($null)?);
                    let writer = writer.at(concat!(stringify!($name), ".", stringify!($field)));
                    $crate::codec::Wire::write(&self.$field, writer, form);
                }); )*
                if !form.flexible {
                    return;
                }
                let mut present = 0;
                $( message!(@tagged [$($tag)?] if ($versions).contains(&form.version)
                    && self.$field != message!(@default $type $(, $default)?)
                {
                    present += 1;
                }); )*
                writer.varint(present);
                $( message!(@tagged [$($tag)?] if ($versions).contains(&form.version)
                    && self.$field != message!(@default $type $(, $default)?)
                {
                    let form = message!(@form form $($null)?);
                    writer.at(concat!(stringify!($name), ".", stringify!($field)));
                    writer.tagged(message!(@tag $($tag)?), |writer| {
                        $crate::codec::Wire::write(&self.$field, writer, form);
                    });
                }); )*
            }

            #[allow(unused_mut, unused_variables)] // a structure without fields, or tagged ones
            fn read(
                reader: &mut $crate::Reader,
                form: $crate::codec::Form,
            ) -> Result<Self, $crate::DecodeError> {
                let mut value = Self::default();
                $( message!(@untagged [$($tag)?] if ($versions).contains(&form.version) {
                    let form = message!(@form form $($null)?);
                    let reader = reader.at(concat!(stringify!($name), ".", stringify!($field)));
                    value.$field = $crate::codec::Wire::read(reader, form)?;
                }); )*
                if !form.flexible {
                    return Ok(value);
                }
                let mut tags = reader.tags()?;
                while let Some(tag) = tags.next(reader)? {
                    $( message!(@tagged [$($tag)?] if tag == message!(@tag $($tag)?)
                        && ($versions).contains(&form.version)
                    {
                        let form = message!(@form form $($null)?);
                        reader.at(concat!(stringify!($name), ".", stringify!($field)));
                        value.$field = $crate::codec::Wire::read(reader, form)?;
                        tags.close(reader)?;
                        continue;
                    }); )*
                    reader.skip();
                    tags.close(reader)?;
                }
                Ok(value)
            }

            fn smallest(form: $crate::codec::Form) -> usize {
                let mut size = usize::from(form.flexible);
                $( message!(@untagged [$($tag)?] if ($versions).contains(&form.version) {
                    size += <$type as $crate::codec::Wire>::smallest(form);
                }); )*
                size
            }
        }

        #[cfg(any(test, feature = "sample"))]
        impl $crate::sample::Sample for $name {
            #[allow(unused_variables)] // a structure without fields
            fn sample(dice: &mut $crate::sample::Dice, form: $crate::codec::Form) -> Self {
                let mut value = Self::default();
                $( if ($versions).contains(&form.version) {
                    let form = message!(@form form $($null)?);
                    value.$field = $crate::sample::Sample::sample(dice, form);
                } )*
                value
            }
        }
    )* };

    (@default $type:ty) => { <$type>::default() };
    (@default $type:ty, $default:expr) => { $default };

    (@tag) => { 0 };
    (@tag $tag:literal) => { $tag };

    (@form $form:ident) => { $form.null(true) };
    (@form $form:ident $null:expr) => { $form.null(($null).contains(&$form.version)) };

    // What concerns only fields without a tag.
    (@untagged [] $($code:tt)*) => { $($code)* };
    (@untagged [$tag:literal] $($code:tt)*) => {};

    // What concerns only fields with a tag.
    (@tagged [] $($code:tt)*) => {};
    (@tagged [$tag:literal] $($code:tt)*) => { $($code)* };
}

pub(crate) use message;
