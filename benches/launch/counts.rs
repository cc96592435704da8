//! What a part of the recording adds up to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use serde_json::{Value as Json, json};

use super::recording::Recording;
use super::ron::{Reader, Value};
use super::shader::{self, Access};

/// A launch.
pub struct Dispatch {
    /// Name of the kernel in its shader, which ends with the hash of its configuration.
    pub entry: String,
    pub read: u64,
    pub written: u64,
}

/// The figures of `launch/mod.rs`.
#[derive(Default)]
pub struct Counts {
    pub dispatches: Vec<Dispatch>,
    pub host_reads: u64,
    pub host_read_bytes: u64,
    pub uploads: u64,
    pub upload_bytes: u64,
    pub peak_bytes: u64,
}

/// What the recording says of objects by their addresses, which are used again when an object is
/// gone. So entries are replaced, not removed: a submission may name objects that were given back
/// before it.
#[derive(Default)]
struct Objects {
    /// Size of each buffer, and whether the host maps it.
    buffers: HashMap<u64, (u64, bool)>,
    live: HashSet<u64>,
    live_bytes: u64,
    shaders: HashMap<u64, HashMap<u64, Access>>,
    /// Name of each pipeline's kernel, and what it does with its bindings.
    pipelines: HashMap<u64, (String, HashMap<u64, Access>)>,
    /// Number and size of each binding.
    groups: HashMap<u64, Vec<(u64, u64)>>,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("wgpu's recording: {what}"))
}

fn fields([launches, read, written]: [u64; 3]) -> Json {
    json!({ "launches": launches, "read_bytes": read, "written_bytes": written })
}

/// Name of a kernel's type, with its parameter if there is one only. That of a kernel of this crate
/// begins with its operation.
fn short(path: &str) -> String {
    let name = type_name_format(path, TypeNameFormatLevel::Balanced);
    let name = match *name.split(" | ").collect::<Vec<_>>() {
        [kernel, parameter] => format!("{kernel}<{parameter}>"),
        [kernel, ..] => kernel.to_owned(),
        [] => name,
    };
    match path.strip_prefix("flowkit::kernel::").and_then(|path| path.split("::").next()) {
        Some(operation) => format!("{operation}::{name}"),
        None => name,
    }
}

fn number(value: Option<&Value>, what: &str) -> io::Result<u64> {
    value.and_then(Value::number).ok_or_else(|| invalid(what))
}

impl Objects {
    fn add(&mut self, action: &Value, recording: &Recording) -> io::Result<()> {
        let id = |value| number(value, "an object without an address");
        let desc = action.get("desc");
        match action.name() {
            "CreateBuffer" => {
                let (id, desc) = (id(action.at(0))?, action.at(1));
                let size = number(desc.and_then(|desc| desc.get("size")), "a buffer's size")?;
                let usage = desc.and_then(|desc| desc.get("usage")).and_then(Value::text);
                let mapped = usage.ok_or_else(|| invalid("a buffer's usage"))?.contains("MAP_READ");
                self.buffers.insert(id, (size, mapped));
                if self.live.insert(id) {
                    self.live_bytes += size;
                }
            }
            "DropBuffer" => {
                let id = id(action.at(0))?;
                if self.live.remove(&id) {
                    self.live_bytes -= self.buffers[&id].0;
                }
            }
            "CreateShaderModule" => {
                let file = action.get("data").and_then(Value::text);
                let source = recording.file(file.ok_or_else(|| invalid("a shader's file"))?)?;
                self.shaders.insert(id(action.get("id"))?, shader::accesses(&source));
            }
            "CreateComputePipeline" => {
                let stage = desc.and_then(|desc| desc.get("stage"));
                let module = id(stage.and_then(|stage| stage.get("module")))?;
                let entry = stage.and_then(|stage| stage.get("entry_point")).and_then(Value::text);
                let entry = entry.ok_or_else(|| invalid("a kernel's name"))?;
                let accesses = self.shaders.get(&module).ok_or_else(|| invalid("a shader"))?;
                let kernel = (entry.to_owned(), accesses.clone());
                self.pipelines.insert(id(action.get("id"))?, kernel);
            }
            "CreateBindGroup" => {
                let (id, desc) = (id(action.at(0))?, action.at(1));
                let entries = desc.and_then(|desc| desc.get("entries"));
                let entries = entries.ok_or_else(|| invalid("bindings"))?.items();
                let bindings = entries.iter().map(|entry| self.binding(entry));
                let bindings = bindings.collect::<io::Result<_>>()?;
                self.groups.insert(id, bindings);
            }
            _ => {}
        }
        Ok(())
    }

    /// Number and size of a binding.
    fn binding(&self, entry: &Value) -> io::Result<(u64, u64)> {
        let binding = number(entry.get("binding"), "a binding's number")?;
        let range = entry.get("resource").and_then(|resource| resource.at(0));
        let range = range.ok_or_else(|| invalid("a binding's buffer"))?;
        let size = match range.get("size").and_then(Value::number) {
            Some(size) => size,
            None => {
                let buffer = number(range.get("buffer"), "a binding's buffer")?;
                let offset = number(range.get("offset"), "a binding's offset")?;
                self.buffers.get(&buffer).ok_or_else(|| invalid("a buffer"))?.0 - offset
            }
        };
        Ok((binding, size))
    }

    fn dispatch(&self, pipeline: Option<u64>, group: Option<u64>) -> io::Result<Dispatch> {
        let pipeline = pipeline.and_then(|pipeline| self.pipelines.get(&pipeline));
        let (entry, accesses) = pipeline.ok_or_else(|| invalid("a launch without a kernel"))?;
        let bindings = group.and_then(|group| self.groups.get(&group));
        let mut dispatch = Dispatch { entry: entry.clone(), read: 0, written: 0 };
        for (binding, size) in bindings.ok_or_else(|| invalid("a launch without bindings"))? {
            let access = accesses.get(binding).copied().unwrap_or_default();
            dispatch.read += if access.loads { *size } else { 0 };
            dispatch.written += if access.stores { *size } else { 0 };
        }
        Ok(dispatch)
    }
}

impl Counts {
    /// Reads the whole recording, and counts what lies in `range` of its list.
    pub fn read(recording: &Recording, range: Range<usize>) -> io::Result<Self> {
        let (mut counts, mut objects) = (Self::default(), Objects::default());
        for (start, action) in Reader::new(&recording.read()?) {
            if start >= range.end {
                break;
            }
            objects.add(&action, recording)?;
            counts.peak_bytes = counts.peak_bytes.max(objects.live_bytes);
            if range.contains(&start) {
                match action.name() {
                    "WriteBuffer" => {
                        counts.uploads += 1;
                        counts.upload_bytes += number(action.get("size"), "an upload's size")?;
                    }
                    "Submit" => counts.submit(&action, &objects)?,
                    _ => {}
                }
            }
        }
        Ok(counts)
    }

    fn submit(&mut self, submission: &Value, objects: &Objects) -> io::Result<()> {
        let mut host_bytes = 0;
        for command in submission.at(1).map_or(&[][..], Value::items) {
            match command.name() {
                "CopyBufferToBuffer" => {
                    let to = number(command.get("dst"), "a copy's buffer")?;
                    if objects.buffers.get(&to).is_some_and(|(_, mapped)| *mapped) {
                        host_bytes += number(command.get("size"), "a copy's size")?;
                    }
                }
                "RunComputePass" => {
                    let commands = command.get("pass").and_then(|pass| pass.get("commands"));
                    self.pass(commands.ok_or_else(|| invalid("a pass"))?.items(), objects)?;
                }
                _ => {}
            }
        }
        self.host_reads += u64::from(host_bytes > 0);
        self.host_read_bytes += host_bytes;
        Ok(())
    }

    fn pass(&mut self, commands: &[Value], objects: &Objects) -> io::Result<()> {
        let (mut pipeline, mut group) = (None, None);
        for command in commands {
            match command.name() {
                "SetPipeline" => pipeline = command.number(),
                "SetBindGroup" => group = command.get("bind_group").and_then(Value::number),
                "DispatchWorkgroups" | "DispatchWorkgroupsIndirect" => {
                    self.dispatches.push(objects.dispatch(pipeline, group)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn read_bytes(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.read).sum()
    }

    pub fn written_bytes(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.written).sum()
    }

    /// Launches and bytes by the kernels' names, for which `launched` has those of CubeCL, in the
    /// same order.
    ///
    /// # Panics
    /// If wgpu and CubeCL disagree about the launches.
    pub fn by_name(&self, launched: &[&'static str]) -> BTreeMap<String, Json> {
        assert_eq!(self.dispatches.len(), launched.len(), "launches of wgpu and of CubeCL");
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for (dispatch, launched) in self.dispatches.iter().zip(launched) {
            let name = *names.entry(&dispatch.entry).or_insert(launched);
            assert_eq!(name, *launched, "one name for the kernel {}", dispatch.entry);
            let sum = sums.entry(short(name)).or_default();
            *sum = [sum[0] + 1, sum[1] + dispatch.read, sum[2] + dispatch.written];
        }
        sums.into_iter().map(|(name, sum)| (name, fields(sum))).collect()
    }
}
