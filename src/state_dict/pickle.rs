//! Python's pickles, as far as PyTorch uses them for a state dict.
//!
//! A pickle is a program for a machine with a stack: it makes objects, and in Python it may call
//! any function. Here a call is an [`Object`] that says which function is called with what, out of
//! a [list](Global) of those that PyTorch uses, and nothing is called. All other instructions and
//! names are errors.
//!
//! The crate `pytorch-reader`, on which burn-store depends, reads more: models, unknown classes,
//! older formats. For that it copies an object each time the pickle refers to it and brings readers
//! of zip and tar archives with fallbacks of their own. Here an object refers to others by number,
//! so memory is bounded by the length of the pickle, no function recurses, and the archive has one
//! reading.
//!
//! # Reference
//! `Lib/pickletools.py` of CPython, which documents each instruction; `torch/_utils.py` and
//! `torch/serialization.py` of PyTorch.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::field::Fields;
use super::number::Number;

/// Longest pickle: the state dict of a million arrays is shorter.
const LONGEST: usize = 1 << 28;

/// The protocol that `torch.save` writes unless it is told otherwise.
const PROTOCOL: u8 = 2;

/// The number of an object.
pub(super) type Id = usize;

/// An object of a pickle.
#[derive(Debug)]
pub(super) enum Object<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a str),
    Tuple(Box<[Id]>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// An object outside the pickle, which the writer described by another one.
    Persistent(Id),
    Call {
        function: Global,
        arguments: Id,
    },
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// A tensor, of the type of its storage.
    RebuildTensor,
    /// A tensor whose type is an argument.
    RebuildTyped,
    RebuildParameter,
    /// A class of storages.
    Storage(Number),
    UntypedStorage,
    /// A type of numbers.
    Number(Number),
}

impl Global {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTyped,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch.storage", "UntypedStorage") => Self::UntypedStorage,
            ("torch", "BoolStorage") => Self::Storage(Number::Bool),
            ("torch", "CharStorage") => Self::Storage(Number::I8),
            ("torch", "ShortStorage") => Self::Storage(Number::I16),
            ("torch", "IntStorage") => Self::Storage(Number::I32),
            ("torch", "LongStorage") => Self::Storage(Number::I64),
            ("torch", "ByteStorage") => Self::Storage(Number::U8),
            ("torch", "HalfStorage") => Self::Storage(Number::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Number::BF16),
            ("torch", "FloatStorage") => Self::Storage(Number::F32),
            ("torch", "DoubleStorage") => Self::Storage(Number::F64),
            // Types without a class of storages.
            ("torch", "uint16") => Self::Number(Number::U16),
            ("torch", "uint32") => Self::Number(Number::U32),
            ("torch", "uint64") => Self::Number(Number::U64),
            _ => return None,
        })
    }
}

/// The objects of a pickle.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() > LONGEST {
            let text = format!("expected a pickle of at most {LONGEST} bytes, found more");
            return Err(Fault::unsupported(text));
        }
        Machine {
            fields: Fields::new(bytes, "the pickle"),
            objects: vec![],
            stack: vec![],
            marks: vec![],
            memo: BTreeMap::new(),
        }
        .run()
    }

    /// The object that the pickle is of.
    pub(super) fn root(&self) -> &Object<'a> {
        self.get(self.root)
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }
}

struct Machine<'a> {
    fields: Fields<'a>,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, Fault> {
        if [self.fields.u8()?, self.fields.u8()?] != [0x80, PROTOCOL] {
            let text =
                format!("expected a pickle of protocol {PROTOCOL}, the default of torch.save");
            return Err(Fault::unsupported(text));
        }
        loop {
            match self.fields.u8()? {
                b'.' => break,
                instruction => self.step(instruction)?,
            }
        }
        self.fields.end()?;
        match (self.stack.as_slice(), self.marks.is_empty()) {
            (&[root], true) => Ok(Pickle { objects: self.objects, root }),
            _ => Err("the pickle: it does not end with one object".into()),
        }
    }

    fn step(&mut self, instruction: u8) -> Result<(), Fault> {
        match instruction {
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Bool),
            b'J' => {
                let number = self.fields.u32()?.cast_signed();
                self.push(Object::Int(number.into()));
            }
            b'K' => {
                let number = self.fields.u8()?;
                self.push(Object::Int(number.into()));
            }
            b'M' => {
                let number = self.fields.u16()?;
                self.push(Object::Int(number.into()));
            }
            0x8a => {
                let number = self.long()?;
                self.push(Object::Int(number));
            }
            b'X' => {
                let length = self.fields.u32()?;
                let bytes = self.fields.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
                let text = str::from_utf8(bytes).map_err(|_| "the pickle: a text is not UTF-8")?;
                self.push(Object::Text(text));
            }
            b')' => self.push(Object::Tuple(Box::default())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items.into()));
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=instruction {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Object::Tuple(items.into()));
            }
            b'}' => self.push(Object::Dict(vec![])),
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.dict()?.push((key, value));
            }
            b'u' => {
                let items = self.since_mark()?;
                let (pairs, rest) = items.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err("the pickle: a key has no value".into());
                }
                self.dict()?.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            b'c' => self.global()?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }
            b'R' => self.call()?,
            // Attributes of a dict, among them `_metadata`, which holds the version of each layer.
            b'b' => {
                let attributes = self.pop()?;
                if !matches!(self.objects[attributes], Object::Dict(_)) {
                    return Err("the pickle: expected attributes, found something else".into());
                }
                self.dict()?;
            }
            b'q' => {
                let key = self.fields.u8()?.into();
                self.put(key)?;
            }
            b'r' => {
                let key = self.fields.u32()?;
                self.put(key)?;
            }
            b'h' => {
                let key = self.fields.u8()?.into();
                self.recall(key)?;
            }
            b'j' => {
                let key = self.fields.u32()?;
                self.recall(key)?;
            }
            other => {
                let text = format!(
                    "the pickle has the instruction {other:#04x}, which a state dict has not"
                );
                return Err(Fault::unsupported(text));
            }
        }
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    /// The topmost object above the last mark.
    fn top(&self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..).and_then(<[Id]>::last) {
            Some(&id) => Ok(id),
            None => Err("the pickle: an instruction needs an object, and there is none".into()),
        }
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    /// All objects above the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or("the pickle: an instruction needs a mark")?;
        Ok(self.stack.split_off(mark))
    }

    /// The dict on top.
    fn dict(&mut self) -> Result<&mut Vec<(Id, Id)>, Fault> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::Dict(items) => Ok(items),
            _ => Err("the pickle: expected a dict, found something else".into()),
        }
    }

    /// An integer in two's complement, of as many bytes as it needs.
    fn long(&mut self) -> Result<i64, Fault> {
        let length = self.fields.u8()?;
        let bytes = self.fields.bytes(length.into())?;
        let is_negative = bytes.last().is_some_and(|byte| byte >> 7 == 1);
        let mut number = if is_negative { [u8::MAX; 8] } else { [0; 8] };
        let Some(place) = number.get_mut(..bytes.len()) else {
            return Err(format!("the pickle: an integer has {length} bytes").into());
        };
        place.copy_from_slice(bytes);
        Ok(i64::from_le_bytes(number))
    }

    fn global(&mut self) -> Result<(), Fault> {
        let text = |bytes| str::from_utf8(bytes).map_err(|_| "the pickle: a name is not UTF-8");
        let (module, name) = (text(self.fields.line()?)?, text(self.fields.line()?)?);
        let Some(global) = Global::of(module, name) else {
            let text = format!("the pickle names `{module}.{name}`, which a state dict does not");
            return Err(Fault::unsupported(text));
        };
        self.push(Object::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Object::Global(function), Object::Tuple(items)) =
            (&self.objects[function], &self.objects[arguments])
        else {
            return Err("the pickle: expected a function and its arguments".into());
        };
        let object = match function {
            Global::OrderedDict if items.is_empty() => Object::Dict(vec![]),
            &function => Object::Call { function, arguments },
        };
        self.push(object);
        Ok(())
    }

    fn put(&mut self, key: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Fault> {
        match self.memo.get(&key) {
            Some(&id) => self.stack.push(id),
            None => return Err(format!("the pickle: there is no object {key}").into()),
        }
        Ok(())
    }
}
