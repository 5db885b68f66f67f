//! Values to msgpack.

use std::collections::BTreeMap;

use rmp::encode as mp;

use crate::framework::value::{MAX_DEPTH, Number, Problem, Step, Type, Value, ValueError};

/// The only unknown we write: extension 0 with one zero byte. Terraform takes it as an unknown without
/// refinement.
const UNKNOWN: [u8; 3] = [0xd4, 0x00, 0x00];

/// `value` as msgpack of type `ty`. The value must have the form of the type ([`Value::conform`]); an object
/// attribute that is absent is written as null.
pub fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, value, ty, 0)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value, ty: &Type, depth: usize) -> Result<(), ValueError> {
    if depth > MAX_DEPTH {
        return Err(ValueError::new(Problem::TooDeep));
    }
    match (ty, value) {
        (_, Value::Null) => infallible(mp::write_nil(out)),
        (_, Value::Unknown) => {
            out.extend_from_slice(&UNKNOWN);
            Ok(())
        }
        (Type::Dynamic, Value::Dynamic(inner_type, inner)) => {
            infallible(mp::write_array_len(out, 2))?;
            let json = inner_type.to_json().to_string();
            infallible(mp::write_bin(out, json.as_bytes()))?;
            write(out, inner, inner_type, depth + 1)
        }
        (Type::Bool, Value::Bool(bool)) => infallible(mp::write_bool(out, *bool)),
        (Type::Number, Value::Number(number)) => write_number(out, number),
        (Type::String, Value::String(text)) => infallible(mp::write_str(out, text)),
        (Type::List(element), Value::List(elements)) => {
            write_elements(out, elements, |_| element, depth, Step::Index)
        }
        (Type::Set(element), Value::Set(elements)) => {
            write_elements(out, elements, |_| element, depth, |_| Step::Element)
        }
        (Type::Tuple(types), Value::Tuple(elements)) if types.len() == elements.len() => {
            write_elements(out, elements, |index| &types[index], depth, Step::Index)
        }
        (Type::Map(element), Value::Map(elements)) => {
            infallible(mp::write_map_len(out, length(elements.len())?))?;
            for (key, value) in elements {
                infallible(mp::write_str(out, key))?;
                write(out, value, element, depth + 1).map_err(|e| e.within(Step::Key(key.clone())))?;
            }
            Ok(())
        }
        (Type::Object(types), Value::Object(attributes)) => write_object(out, attributes, types, depth),
        (_, other) => Err(ValueError::mismatch(ty, other.kind())),
    }
}

fn write_object(
    out: &mut Vec<u8>,
    attributes: &BTreeMap<String, Value>,
    types: &BTreeMap<String, Type>,
    depth: usize,
) -> Result<(), ValueError> {
    if let Some(extra) = attributes.keys().find(|name| !types.contains_key(*name)) {
        return Err(ValueError::new(Problem::Unexpected(extra.clone())));
    }
    infallible(mp::write_map_len(out, length(types.len())?))?;
    for (name, ty) in types {
        infallible(mp::write_str(out, name))?;
        let value = attributes.get(name).unwrap_or(&Value::Null);
        write(out, value, ty, depth + 1).map_err(|e| e.within(Step::Attribute(name.clone())))?;
    }
    Ok(())
}

fn write_elements<'t>(
    out: &mut Vec<u8>,
    elements: &[Value],
    ty: impl Fn(usize) -> &'t Type,
    depth: usize,
    step: impl Fn(usize) -> Step,
) -> Result<(), ValueError> {
    infallible(mp::write_array_len(out, length(elements.len())?))?;
    for (index, element) in elements.iter().enumerate() {
        write(out, element, ty(index), depth + 1).map_err(|e| e.within(step(index)))?;
    }
    Ok(())
}

/// An int where it fits, a float only where it is exact, else decimal text: what Terraform writes, so that
/// nothing is rounded on the way.
fn write_number(out: &mut Vec<u8>, number: &Number) -> Result<(), ValueError> {
    if let Some(int) = number.as_i64() {
        infallible(mp::write_sint(out, int))
    } else if let Some(float) = number.as_wire_f64() {
        infallible(mp::write_f64(out, float))
    } else {
        infallible(mp::write_str(out, &number.to_string()))
    }
}

fn length(length: usize) -> Result<u32, ValueError> {
    u32::try_from(length).map_err(|_| ValueError::malformed("more than 2^32 elements"))
}

/// Writing to memory does not fail; the codec's error type says that it could.
fn infallible<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), ValueError> {
    result.map(drop).map_err(ValueError::malformed)
}
