//! msl OUT FILE.wgsl...: writes OUT/FILE.metal, the text that wgpu-hal 0.19's Metal backend hands to Apple's compiler: all
//! reads and writes checked, workgroup memory cleared, buffers in the order of bindings and their sizes behind them.
use naga::back::msl;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    for file in &args[2..] {
        let written = translate(file).and_then(|text| {
            let name = Path::new(file).with_extension("metal");
            std::fs::write(Path::new(&args[1]).join(name.file_name().unwrap()), text).map_err(|e| e.to_string())
        });
        if let Err(e) = written {
            eprintln!("msl: {file}: {e}");
            std::process::exit(1);
        }
    }
}

fn translate(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).map_err(|e| format!("{e:?}"))?;
    let mut entry = msl::EntryPointResources::default();
    let mut slot = 0u8;
    for (_, global) in module.global_variables.iter() {
        if let Some(at) = &global.binding {
            let mutable = matches!(global.space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
            let target = msl::BindTarget { buffer: Some(slot), mutable, ..Default::default() };
            entry.resources.insert(at.clone(), target);
            slot += 1;
        }
    }
    entry.sizes_buffer = Some(slot);
    let checked = BoundsCheckPolicy::ReadZeroSkipWrite;
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(module.entry_points[0].name.clone(), entry)].into(),
        fake_missing_bindings: false,
        spirv_cross_compatibility: false,
        bounds_check_policies: BoundsCheckPolicies { index: checked, buffer: checked, ..Default::default() },
        zero_initialize_workgroup_memory: true,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions { allow_and_force_point_size: false };
    let (out, written) = msl::write_string(&module, &info, &options, &pipeline).map_err(|e| format!("{e:?}"))?;
    for name in written.entry_point_names {
        name.map_err(|e| format!("{e:?}"))?;
    }
    Ok(out)
}
