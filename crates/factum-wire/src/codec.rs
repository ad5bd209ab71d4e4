//! How each kind of field looks on the wire, in the old and in the compact ("flexible") form.

use bytes::Bytes;
use uuid::Uuid;

use crate::Str;
use crate::reader::{DecodeError, Problem, Reader};
use crate::records::{Part, Records};
use crate::writer::Writer;

/// The longest text, in bytes: also compact lengths may not exceed what two signed bytes say.
const LONGEST_TEXT: usize = i16::MAX as usize;

/// What a field must know of its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// The message's version.
    pub(crate) version: i16,
    /// Whether lengths are compact and structures end with tagged fields (KIP-482).
    pub(crate) flexible: bool,
    /// Whether this field may be null in this version.
    pub(crate) nullable: bool,
}

impl Form {
    /// The same form for a field that may, or may not, be null.
    pub(crate) const fn null(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }
}

/// A value that has a form on the wire.
pub(crate) trait Wire: Sized {
    /// Writes the value.
    fn write(&self, writer: &mut Writer, form: Form);

    /// Reads a value.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError>;

    /// The fewest bytes that a value takes; bounds the elements of an array.
    fn smallest(form: Form) -> usize;
}

/// A value that follows its length, and that an [`Option`] makes nullable.
pub(crate) trait Counted: Sized {
    /// Whether the old form has a length of two bytes instead of four.
    const SHORT: bool = false;

    /// Bytes or elements.
    fn count(&self) -> usize;

    /// Writes what follows the length.
    fn put(&self, writer: &mut Writer, form: Form);

    /// Reads what follows the length.
    fn take(reader: &mut Reader, count: usize, form: Form) -> Result<Self, DecodeError>;
}

macro_rules! fixed_width {
    ($($type:ty: $from:expr, $to:expr;)*) => { $(
        impl Wire for $type {
            fn write(&self, writer: &mut Writer, _: Form) {
                let bytes: [u8; size_of::<$type>()] = $to(*self);
                writer.put(&bytes);
            }

            fn read(reader: &mut Reader, _: Form) -> Result<Self, DecodeError> {
                reader.fixed().map($from)
            }

            fn smallest(_: Form) -> usize {
                size_of::<$type>()
            }
        }
    )* };
}

fixed_width! {
    bool: |[byte]: [u8; 1]| byte != 0, |value| [u8::from(value)];
    i8: i8::from_be_bytes, i8::to_be_bytes;
    i16: i16::from_be_bytes, i16::to_be_bytes;
    u16: u16::from_be_bytes, u16::to_be_bytes;
    i32: i32::from_be_bytes, i32::to_be_bytes;
    i64: i64::from_be_bytes, i64::to_be_bytes;
    f64: f64::from_be_bytes, f64::to_be_bytes;
    Uuid: Uuid::from_bytes, Uuid::into_bytes;
}

impl Counted for Str {
    const SHORT: bool = true;

    fn count(&self) -> usize {
        self.len()
    }

    fn put(&self, writer: &mut Writer, _: Form) {
        writer.put(self.as_bytes());
    }

    fn take(reader: &mut Reader, count: usize, _: Form) -> Result<Self, DecodeError> {
        reader.text(count)
    }
}

impl Counted for Bytes {
    fn count(&self) -> usize {
        self.len()
    }

    fn put(&self, writer: &mut Writer, _: Form) {
        writer.share(self);
    }

    fn take(reader: &mut Reader, count: usize, _: Form) -> Result<Self, DecodeError> {
        reader.shared(count)
    }
}

impl Counted for Records {
    fn count(&self) -> usize {
        self.len()
    }

    fn put(&self, writer: &mut Writer, _: Form) {
        self.parts().for_each(|part| match part {
            Part::Bytes(chunk) => writer.share(chunk),
            Part::External(length) => writer.external(*length),
        });
    }

    fn take(reader: &mut Reader, count: usize, _: Form) -> Result<Self, DecodeError> {
        reader.shared(count).map(Self::from)
    }
}

impl<T: Wire> Counted for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn put(&self, writer: &mut Writer, form: Form) {
        self.iter().for_each(|element| element.write(writer, form));
    }

    fn take(reader: &mut Reader, count: usize, form: Form) -> Result<Self, DecodeError> {
        let mut elements = reader.reserve(count, T::smallest(form))?;
        for _ in 0..count {
            elements.push(T::read(reader, form)?);
        }
        Ok(elements)
    }
}

macro_rules! counted {
    ($([$($parameter:ident)?] $type:ty;)*) => { $(
        impl$(<$parameter: Wire>)? Wire for $type {
            fn write(&self, writer: &mut Writer, form: Form) {
                put_count::<Self>(writer, self.count(), form);
                self.put(writer, form);
            }

            fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
                match take_count::<Self>(reader, form)? {
                    Some(count) => Self::take(reader, count, form),
                    None => Err(unexpected_null(reader, form)),
                }
            }

            fn smallest(form: Form) -> usize {
                smallest_count::<Self>(form)
            }
        }
    )* };
}

counted! {
    [] Str;
    [] Bytes;
    [] Records;
    [T] Vec<T>;
}

impl<T: Counted> Wire for Option<T> {
    fn write(&self, writer: &mut Writer, form: Form) {
        match self {
            Some(value) => {
                put_count::<T>(writer, value.count(), form);
                value.put(writer, form);
            }
            None if form.nullable => put_null::<T>(writer, form),
            None => writer.fail_null(form.version),
        }
    }

    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError> {
        match take_count::<T>(reader, form)? {
            Some(count) => T::take(reader, count, form).map(Some),
            None if form.nullable => Ok(None),
            None => Err(unexpected_null(reader, form)),
        }
    }

    fn smallest(form: Form) -> usize {
        smallest_count::<T>(form)
    }
}

/// Lets fields of [`Option`] hold structures, which have no length that could say null: a byte in
/// front does, in both forms.
macro_rules! nullable {
    ($structure:ty) => {
        impl $crate::codec::Wire for Option<$structure> {
            fn write(&self, writer: &mut $crate::Writer, form: $crate::codec::Form) {
                $crate::codec::write_nullable(self.as_ref(), writer, form);
            }

            fn read(
                reader: &mut $crate::Reader,
                form: $crate::codec::Form,
            ) -> Result<Self, $crate::DecodeError> {
                $crate::codec::read_nullable(reader, form)
            }

            fn smallest(_: $crate::codec::Form) -> usize {
                1
            }
        }
    };
}

pub(crate) use nullable;

/// Writes 1 and the structure, or -1.
pub(crate) fn write_nullable<T: Wire>(value: Option<&T>, writer: &mut Writer, form: Form) {
    match value {
        Some(value) => {
            writer.put(&1_i8.to_be_bytes());
            value.write(writer, form);
        }
        None if form.nullable => writer.put(&(-1_i8).to_be_bytes()),
        None => writer.fail_null(form.version),
    }
}

/// Reads a byte, and a structure unless it is negative, as Kafka does.
pub(crate) fn read_nullable<T: Wire>(
    reader: &mut Reader,
    form: Form,
) -> Result<Option<T>, DecodeError> {
    let [mark] = reader.fixed::<1>()?;
    match mark.cast_signed() {
        0.. => T::read(reader, form).map(Some),
        _ if form.nullable => Ok(None),
        _ => Err(unexpected_null(reader, form)),
    }
}

#[cold]
fn unexpected_null(reader: &Reader, form: Form) -> DecodeError {
    reader.error(Problem::UnexpectedNull { version: form.version })
}

const fn smallest_count<T: Counted>(form: Form) -> usize {
    match (form.flexible, T::SHORT) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 4,
    }
}

fn put_null<T: Counted>(writer: &mut Writer, form: Form) {
    match (form.flexible, T::SHORT) {
        (true, _) => writer.varint(0),
        (false, true) => writer.put(&(-1_i16).to_be_bytes()),
        (false, false) => writer.put(&(-1_i32).to_be_bytes()),
    }
}

fn put_count<T: Counted>(writer: &mut Writer, count: usize, form: Form) {
    let limit = if T::SHORT { LONGEST_TEXT } else { i32::MAX as usize };
    let Some(short) = i32::try_from(count).ok().filter(|_| count <= limit) else {
        return writer.fail_length(count, limit);
    };
    match (form.flexible, i16::try_from(short)) {
        (true, _) => writer.varint(short.unsigned_abs() + 1),
        (false, Ok(short)) if T::SHORT => writer.put(&short.to_be_bytes()),
        (false, _) => writer.put(&short.to_be_bytes()),
    }
}

/// The length in front of a value; none is null.
fn take_count<T: Counted>(reader: &mut Reader, form: Form) -> Result<Option<usize>, DecodeError> {
    if form.flexible {
        let count = (reader.varint()? as usize).checked_sub(1);
        return match count.filter(|&count| T::SHORT && count > LONGEST_TEXT) {
            Some(count) => Err(reader.error(Problem::TextTooLong(count))),
            None => Ok(count),
        };
    }
    let count = if T::SHORT {
        i32::from(i16::from_be_bytes(reader.fixed()?))
    } else {
        i32::from_be_bytes(reader.fixed()?)
    };
    match usize::try_from(count) {
        Ok(count) => Ok(Some(count)),
        Err(_) if count == -1 => Ok(None),
        Err(_) => Err(reader.error(Problem::NegativeLength(count.into()))),
    }
}
