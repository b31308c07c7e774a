//! hlsl OUT FILE.wgsl...: writes OUT/FILE.hlsl, the text that wgpu-hal 0.19's DX12 backend hands to FXC, with a last line
//! that names the entry point. Registers count up in the order of bindings, one count for each of uniforms (b), read-only
//! (t) and writable (u) storage; num_workgroups comes in the b register behind the last uniform. naga's own command
//! differs there.
use naga::back::hlsl;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ResourceBinding, StorageAccess};
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    for file in &args[2..] {
        let written = translate(file).and_then(|text| {
            let name = Path::new(file).with_extension("hlsl");
            std::fs::write(Path::new(&args[1]).join(name.file_name().unwrap()), text).map_err(|e| e.to_string())
        });
        if let Err(e) = written {
            eprintln!("hlsl: {file}: {e}");
            std::process::exit(1);
        }
    }
}

fn translate(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).map_err(|e| format!("{e:?}"))?;
    let mut bindings: Vec<(u32, u32, usize)> = vec![];
    for (_, global) in module.global_variables.iter() {
        if let Some(at) = &global.binding {
            let kind = match global.space {
                AddressSpace::Uniform => 0,
                AddressSpace::Storage { access } if !access.contains(StorageAccess::STORE) => 1,
                _ => 2,
            };
            bindings.push((at.group, at.binding, kind));
        }
    }
    bindings.sort();
    let register = |register| hlsl::BindTarget { space: 0, register, binding_array_size: None };
    let mut options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V5_1,
        fake_missing_bindings: false,
        zero_initialize_workgroup_memory: true,
        ..Default::default()
    };
    let mut next = [0; 3];
    for (group, binding, kind) in bindings {
        options.binding_map.insert(ResourceBinding { group, binding }, register(next[kind]));
        next[kind] += 1;
    }
    options.special_constants_binding = Some(register(next[0]));
    let mut out = String::new();
    let written = hlsl::Writer::new(&mut out, &options).write(&module, &info).map_err(|e| format!("{e:?}"))?;
    for name in written.entry_point_names {
        out.push_str(&format!("// entry {}\n", name.map_err(|e| format!("{e:?}"))?));
    }
    Ok(out)
}
