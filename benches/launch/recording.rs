//! A device that writes down what it is given.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use burn_wgpu::{WgpuSetup, wgpu};
use cubecl::future::block_on;
use tempfile::TempDir;

/// wgpu's recording of a device: a list of what it was given, and a file for each shader and each
/// upload.
pub struct Recording {
    folder: TempDir,
    /// The graphics interface and the name of the device.
    pub adapter: String,
}

impl Recording {
    /// Opens a device as CubeCL does, and records it.
    pub fn start() -> Result<(Self, Device), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = block_on(instance.request_adapter(&options))?;
        let unused =
            wgpu::Features::MAPPABLE_PRIMARY_BUFFERS.union(wgpu::Features::all_experimental_mask());
        let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features().difference(unused),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Directory(folder.path().to_owned()),
            ..Default::default()
        }))?;
        let info = adapter.get_info();
        let setup = WgpuSetup { instance, adapter, device, queue, backend: info.backend };
        let device = Device::wgpu_options().setup(setup).init()?;
        let adapter = format!("wgpu, {:?}, {}", info.backend, info.name);
        Ok((Self { folder, adapter }, device))
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("trace.ron")
    }

    /// Bytes that the list has now.
    pub fn position(&self) -> usize {
        fs::metadata(self.list()).map_or(0, |file| file.len() as usize)
    }

    /// The list as it is now.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(self.list())
    }

    /// One of the files that the list names.
    pub fn file(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.folder.path().join(name))
    }

    /// Copies the list and the shaders.
    pub fn copy_to(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            let kept = path.extension().is_some_and(|ending| ending == "ron" || ending == "wgsl");
            if let (true, Some(name)) = (kept, path.file_name()) {
                fs::copy(&path, folder.join(name))?;
            }
        }
        Ok(())
    }
}
