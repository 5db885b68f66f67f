//! Msgpack to values.

use std::collections::BTreeMap;

use rmp::Marker;

use crate::framework::value::{MAX_DEPTH, Number, Problem, Step, Type, Value, ValueError};

/// How many elements are reserved ahead: a length on the wire is a claim, not a fact.
const MAX_RESERVED: usize = 1024;

/// The value of type `ty` that `bytes` hold, all of them.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, ValueError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(ty, 0)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(ValueError::malformed("bytes after the end of the value"))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| ValueError::malformed("the value ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, ValueError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<usize, ValueError> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn u32(&mut self) -> Result<usize, ValueError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(ValueError::malformed)
    }

    fn marker(&mut self) -> Result<Marker, ValueError> {
        self.u8().map(Marker::from_u8)
    }

    fn value(&mut self, ty: &Type, depth: usize) -> Result<Value, ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::new(Problem::TooDeep));
        }
        let marker = self.marker()?;
        if marker == Marker::Null {
            return Ok(Value::Null);
        }
        if let Some(payload) = self.extension(marker)? {
            // Terraform may refine an unknown (not null, a prefix, bounds); every extension is an unknown,
            // with or without.
            self.take(payload)?;
            return Ok(Value::Unknown);
        }
        match ty {
            Type::Dynamic => self.dynamic(marker, depth),
            Type::Bool => match marker {
                Marker::True => Ok(Value::Bool(true)),
                Marker::False => Ok(Value::Bool(false)),
                other => Err(mismatch(ty, other)),
            },
            Type::Number => self.number(marker).map(Value::Number),
            Type::String => self.text(marker).map(|text| Value::String(text.to_owned())),
            Type::List(element) => self
                .elements(marker, ty, |_| Some(element), depth, Step::Index)
                .map(Value::List),
            Type::Set(element) => self
                .elements(marker, ty, |_| Some(element), depth, |_| Step::Element)
                .map(Value::set),
            Type::Tuple(types) => {
                let elements = self.elements(marker, ty, |index| types.get(index), depth, Step::Index)?;
                if elements.len() == types.len() {
                    Ok(Value::Tuple(elements))
                } else {
                    Err(ValueError::malformed(format!(
                        "a tuple of {} elements, not {}",
                        elements.len(),
                        types.len()
                    )))
                }
            }
            Type::Map(element) => self
                .named(marker, ty, |_| Some(element), depth, Step::Key)
                .map(Value::Map),
            Type::Object(types) => {
                let attributes = self.named(marker, ty, |name| types.get(name), depth, Step::Attribute)?;
                match types.keys().find(|name| !attributes.contains_key(*name)) {
                    Some(missing) => Err(ValueError::new(Problem::Missing(missing.clone()))),
                    None => Ok(Value::Object(attributes)),
                }
            }
        }
    }

    /// The payload length of an extension, type byte read over; nothing if the marker is something else.
    fn extension(&mut self, marker: Marker) -> Result<Option<usize>, ValueError> {
        let length = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => usize::from(self.u8()?),
            Marker::Ext16 => self.u16()?,
            Marker::Ext32 => self.u32()?,
            _ => return Ok(None),
        };
        self.u8()?;
        Ok(Some(length))
    }

    /// `[type as JSON in bytes, value]`.
    fn dynamic(&mut self, marker: Marker, depth: usize) -> Result<Value, ValueError> {
        if self.array_length(marker)? != Some(2) {
            return Err(mismatch(&Type::Dynamic, marker));
        }
        let marker = self.marker()?;
        let Some(json) = self.bytes(marker)? else {
            return Err(ValueError::malformed("a value of any type without its type"));
        };
        let ty = Type::from_json_slice(json).map_err(ValueError::malformed)?;
        let inner = self.value(&ty, depth + 1)?;
        Ok(match ty {
            // Dynamic inside dynamic says nothing more than once.
            Type::Dynamic => inner,
            ty => Value::Dynamic(ty, Box::new(inner)),
        })
    }

    fn number(&mut self, marker: Marker) -> Result<Number, ValueError> {
        Ok(match marker {
            Marker::FixPos(int) => Number::from(int),
            Marker::FixNeg(int) => Number::from(int),
            Marker::U8 => Number::from(self.u8()?),
            Marker::U16 => Number::from(u16::from_be_bytes(self.array()?)),
            Marker::U32 => Number::from(u32::from_be_bytes(self.array()?)),
            Marker::U64 => Number::from(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Number::from(i8::from_be_bytes(self.array()?)),
            Marker::I16 => Number::from(i16::from_be_bytes(self.array()?)),
            Marker::I32 => Number::from(i32::from_be_bytes(self.array()?)),
            Marker::I64 => Number::from(i64::from_be_bytes(self.array()?)),
            Marker::F32 => exact(f64::from(f32::from_be_bytes(self.array()?)))?,
            Marker::F64 => exact(f64::from_be_bytes(self.array()?))?,
            other => {
                let Some(bytes) = self.bytes(other)? else {
                    return Err(mismatch(&Type::Number, other));
                };
                let text = std::str::from_utf8(bytes).map_err(ValueError::malformed)?;
                text.parse().map_err(ValueError::malformed)?
            }
        })
    }

    fn text(&mut self, marker: Marker) -> Result<&'a str, ValueError> {
        let Some(bytes) = self.bytes(marker)? else {
            return Err(mismatch(&Type::String, marker));
        };
        std::str::from_utf8(bytes).map_err(|_| ValueError::malformed("text that is not UTF-8"))
    }

    /// The content of a text or byte string; nothing if the marker is something else.
    fn bytes(&mut self, marker: Marker) -> Result<Option<&'a [u8]>, ValueError> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 | Marker::Bin8 => usize::from(self.u8()?),
            Marker::Str16 | Marker::Bin16 => self.u16()?,
            Marker::Str32 | Marker::Bin32 => self.u32()?,
            _ => return Ok(None),
        };
        self.take(length).map(Some)
    }

    fn array_length(&mut self, marker: Marker) -> Result<Option<usize>, ValueError> {
        Ok(match marker {
            Marker::FixArray(length) => Some(usize::from(length)),
            Marker::Array16 => Some(self.u16()?),
            Marker::Array32 => Some(self.u32()?),
            _ => None,
        })
    }

    fn elements<'t>(
        &mut self,
        marker: Marker,
        ty: &Type,
        element: impl Fn(usize) -> Option<&'t Type>,
        depth: usize,
        step: impl Fn(usize) -> Step,
    ) -> Result<Vec<Value>, ValueError>
    where
        Type: 't,
    {
        let Some(length) = self.array_length(marker)? else {
            return Err(mismatch(ty, marker));
        };
        let mut elements = Vec::with_capacity(length.min(self.rest.len()).min(MAX_RESERVED));
        for index in 0..length {
            let Some(element) = element(index) else {
                return Err(ValueError::malformed(format!(
                    "{length} elements, more than the type has"
                )));
            };
            elements.push(
                self.value(element, depth + 1)
                    .map_err(|e| e.within(step(index)))?,
            );
        }
        Ok(elements)
    }

    fn named<'t>(
        &mut self,
        marker: Marker,
        ty: &Type,
        element: impl Fn(&str) -> Option<&'t Type>,
        depth: usize,
        step: impl Fn(String) -> Step,
    ) -> Result<BTreeMap<String, Value>, ValueError>
    where
        Type: 't,
    {
        let length = match marker {
            Marker::FixMap(length) => usize::from(length),
            Marker::Map16 => self.u16()?,
            Marker::Map32 => self.u32()?,
            other => return Err(mismatch(ty, other)),
        };
        let mut named = BTreeMap::new();
        for _ in 0..length {
            let marker = self.marker()?;
            let name = self.text(marker)?;
            let Some(element) = element(name) else {
                return Err(ValueError::new(Problem::Unexpected(name.to_owned())));
            };
            let value = self
                .value(element, depth + 1)
                .map_err(|e| e.within(step(name.to_owned())))?;
            if named.insert(name.to_owned(), value).is_some() {
                return Err(ValueError::malformed(format!("{name:?} is there twice")));
            }
        }
        Ok(named)
    }
}

fn exact(float: f64) -> Result<Number, ValueError> {
    Number::from_f64_exact(float).map_err(ValueError::malformed)
}

fn mismatch(ty: &Type, found: Marker) -> ValueError {
    ValueError::mismatch(ty, format_args!("msgpack {found:?}"))
}
