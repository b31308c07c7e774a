// copy_none: there is no copy.
fn copy(i: u32, v: vec4<f32>) {}
