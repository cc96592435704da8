//! State dicts of PyTorch: `torch.save(model.state_dict(), path)`, since version 1.6.
//! ```text
//! ROOT/data.pkl       names, shapes, strides and storages, as a pickle
//! ROOT/data/KEY       the numbers of a storage, in the order of bytes that ROOT/byteorder says
//! ```
//! Tensors may share a storage, begin anywhere in it, and have any strides. Storages are stored
//! without compression.
//!
//! # Reference
//! `torch/serialization.py` and `torch/_utils.py` of PyTorch.

use std::collections::BTreeMap;

use super::archive::{Entry, Packing};
use super::fault::Fault;
use super::number::{ByteOrder, Number};
use super::pickle::{Global, Id, Object, Pickle};
use super::{Array, strided};

/// Names below the root.
const PICKLE: &str = "data.pkl";
const BYTE_ORDER: &str = "byteorder";
const STORAGES: &str = "data/";

/// The first bytes of a file of a version before 1.6: a pickle of a number that says so.
const LEGACY: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Most bytes of all arrays, in files. Tensors that share a storage have their numbers each, and a
/// stride may be 0, so a short file could claim any number of them.
const MOST_SHARED: usize = 64;

/// What to do with a file that holds something else.
const REMEDY: &str = "save the state dict alone: torch.save(model.state_dict(), path)";

/// Whether a file begins as those of versions before 1.6 do.
pub(super) fn recognizes_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(&LEGACY)
}

/// The error for such a file.
pub(super) fn legacy() -> Fault {
    Fault::unsupported(
        "it is in the format from before PyTorch 1.6; save it anew: \
         torch.save(torch.load(path, weights_only=True), path)",
    )
}

/// The root of an archive with a pickle.
pub(super) fn root<'a>(entries: &[Entry<'a>]) -> Option<&'a str> {
    entries.iter().find_map(|entry| {
        let root = entry.name.strip_suffix(PICKLE)?;
        (root.is_empty() || root.ends_with('/')).then_some(root)
    })
}

/// The arrays of an archive, which is in a file of so many bytes.
pub(super) fn read(
    entries: &[Entry<'_>],
    file_size: usize,
) -> Result<BTreeMap<String, Array>, Fault> {
    let root = root(entries).ok_or_else(|| format!("there is no entry `{PICKLE}`"))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let Some(name) = entry.name.strip_prefix(root) else { continue };
        if matches!(name, PICKLE | BYTE_ORDER) || name.starts_with(STORAGES) {
            files.insert(name, stored(entry).map_err(|fault| fault.of(entry.name))?);
        }
    }
    let order = match files.get(BYTE_ORDER).copied() {
        // Files of the first versions do not say it.
        None | Some(b"little") => ByteOrder::Little,
        Some(b"big") => ByteOrder::Big,
        Some(_) => return Err("expected the byte order little or big".into()),
    };
    let pickle = files.get(PICKLE).copied().unwrap_or_default();
    let pickle = Pickle::read(pickle).map_err(|fault| fault.with_remedy(REMEDY))?;
    let Object::Dict(items) = pickle.root() else {
        return Err(Fault::unsupported("it holds no dict").with_remedy(REMEDY));
    };
    let most = file_size.saturating_mul(MOST_SHARED);
    let mut tensors = Tensors { pickle: &pickle, files, order, most };
    let mut arrays = BTreeMap::new();
    for &(name, value) in items {
        let &Object::Text(name) = pickle.get(name) else {
            return Err(Fault::unsupported("a key is no text").with_remedy(REMEDY));
        };
        let array = tensors.array(value).map_err(|fault| fault.of(name))?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(Fault::broken("there are two tensors of this name").of(name));
        }
    }
    Ok(arrays)
}

/// The bytes of an entry.
fn stored<'a>(entry: &Entry<'a>) -> Result<&'a [u8], Fault> {
    if entry.packing != Packing::Stored {
        return Err(Fault::unsupported("expected stored bytes, as PyTorch writes, found deflated"));
    }
    let found = crc32fast::hash(entry.packed);
    // PyTorch writes 0 where it is told not to compute it.
    if entry.checksum != 0 && entry.checksum != found {
        let expected = entry.checksum;
        return Err(format!("expected the checksum {expected:08x}, found {found:08x}").into());
    }
    Ok(entry.packed)
}

/// What tensors are made of.
struct Tensors<'a> {
    pickle: &'a Pickle<'a>,
    files: BTreeMap<&'a str, &'a [u8]>,
    order: ByteOrder,
    /// Bytes that arrays may still have.
    most: usize,
}

impl<'a> Tensors<'a> {
    fn array(&mut self, id: Id) -> Result<Array, Fault> {
        let other = || Fault::unsupported("expected a tensor").with_remedy(REMEDY);
        let (mut function, mut arguments) = self.call(id).ok_or_else(other)?;
        if function == Global::RebuildParameter {
            let &[tensor, _, _] = arguments else {
                return Err("a parameter does not have 3 arguments".into());
            };
            (function, arguments) = self.call(tensor).ok_or_else(other)?;
        }
        if !matches!(function, Global::RebuildTensor | Global::RebuildTyped) {
            return Err(other());
        }
        // Before the rest: whether it has gradients, and hooks. At its end: optional metadata.
        let (&[storage, start, shape, strides, _, _, ref rest @ ..], true) =
            (arguments, arguments.len() <= 8)
        else {
            return Err(format!("a tensor has {} arguments", arguments.len()).into());
        };
        let number = match (function, rest) {
            (Global::RebuildTensor, [] | [_]) => None,
            (Global::RebuildTyped, &[number] | &[number, _]) => match self.pickle.get(number) {
                &Object::Global(Global::Number(number)) => Some(number),
                _ => return Err("expected a type of numbers".into()),
            },
            _ => return Err(format!("a tensor has {} arguments", arguments.len()).into()),
        };
        let (number, bytes) = self.storage(storage, number)?;
        let (start, shape) = (self.size(start)?, self.sizes(shape)?);
        let strides = self.sizes(strides)?;
        self.view(number, bytes, start, shape, &strides)
    }

    fn call(&self, id: Id) -> Option<(Global, &'a [Id])> {
        let &Object::Call { function, arguments } = self.pickle.get(id) else { return None };
        let Object::Tuple(items) = self.pickle.get(arguments) else { return None };
        Some((function, items))
    }

    /// The numbers of a storage: their type, which `number` says where the storage does not, and
    /// their bytes.
    fn storage(&self, id: Id, number: Option<Number>) -> Result<(Number, &'a [u8]), Fault> {
        let no = || Fault::broken("expected a storage");
        let &Object::Persistent(id) = self.pickle.get(id) else { return Err(no()) };
        let Object::Tuple(description) = self.pickle.get(id) else { return Err(no()) };
        let &[kind, class, key, _device, count] = description.as_ref() else { return Err(no()) };
        let (Object::Text("storage"), &Object::Text(key), &Object::Global(class)) =
            (self.pickle.get(kind), self.pickle.get(key), self.pickle.get(class))
        else {
            return Err(no());
        };
        let (number, width) = match (class, number) {
            (Global::Storage(number), None) => (number, number.width()),
            (Global::UntypedStorage, Some(number)) => (number, 1),
            _ => return Err("the types of tensor and storage do not fit".into()),
        };
        let bytes = self.files.get(format!("{STORAGES}{key}").as_str()).copied();
        let bytes = bytes.ok_or_else(|| format!("there is no entry of its storage `{key}`"))?;
        let count = self.size(count)?;
        if count.checked_mul(width) != Some(bytes.len()) {
            let found = bytes.len();
            let text =
                format!("storage `{key}`: {count} numbers of {width} bytes, found {found} bytes");
            return Err(text.into());
        }
        Ok((number, bytes))
    }

    fn size(&self, id: Id) -> Result<usize, Fault> {
        match self.pickle.get(id) {
            &Object::Int(size) => usize::try_from(size)
                .map_err(|_| format!("expected a number of at least 0, found {size}").into()),
            _ => Err("expected a number".into()),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, Fault> {
        match self.pickle.get(id) {
            Object::Tuple(items) => items.iter().map(|&item| self.size(item)).collect(),
            _ => Err("expected a tuple of numbers".into()),
        }
    }

    /// The elements of a storage that a tensor consists of.
    fn view(
        &mut self,
        number: Number,
        bytes: &[u8],
        start: usize,
        shape: Vec<usize>,
        strides: &[usize],
    ) -> Result<Array, Fault> {
        if shape.len() != strides.len() {
            return Err(format!("shape {shape:?} has the strides {strides:?}").into());
        }
        let (count, width) = (strided::count(&shape)?, number.width());
        if count == 0 {
            return Ok(Array::new(shape, number.values(&[], self.order)?));
        }
        let numbers = bytes.len() / width;
        let last = strided::last_place(start, &shape, strides);
        if last.is_none_or(|last| last >= numbers) {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} from {start} on leaves its storage of \
                 {numbers} numbers"
            )
            .into());
        }
        let left = count.checked_mul(number.widened()).and_then(|size| self.most.checked_sub(size));
        self.most = left.ok_or_else(|| {
            let text = "the tensors share numbers, and have more than";
            Fault::unsupported(format!("{text} {MOST_SHARED} times the bytes of the file"))
        })?;
        let values = if strides == strided::c_strides(&shape) {
            number.values(&bytes[start * width..(start + count) * width], self.order)?
        } else {
            let bytes = strided::in_c_order(bytes, width, start, &shape, strides);
            number.values(&bytes, self.order)?
        };
        Ok(Array::new(shape, values))
    }
}
