// epilogue_store_f32: out = acc in float32, whatever the operands' storage.
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = acc;
}
